/**
 * Finds every occurrence of many strings in one pass over a text (Aho and Corasick 1975): the time depends on the text's
 * length and the number of matches, not on the number of strings.
 */
export class AhoCorasick {
  /** Transitions of a node by UTF-16 unit. */
  private readonly next: Map<number, number>[] = [new Map()];
  private readonly fail: number[] = [0];
  /** Strings that end at a node, the node's own ones only. */
  private readonly own: number[][] = [[]];
  /** Nearest node on the chain of suffixes at which a string ends; 0 is none. */
  private readonly output: number[] = [0];

  /** @param patterns strings that are not empty; equal ones are all reported */
  constructor(private readonly patterns: readonly string[]) {
    patterns.forEach((pattern, index) => {
      if (pattern.length === 0) throw new RangeError(`pattern ${index} is empty`);
      let node = 0;
      for (let i = 0; i < pattern.length; i++) {
        const unit = pattern.charCodeAt(i);
        let child = this.next[node]!.get(unit);
        if (child === undefined) {
          child = this.next.push(new Map()) - 1;
          this.fail.push(0);
          this.own.push([]);
          this.output.push(0);
          this.next[node]!.set(unit, child);
        }
        node = child;
      }
      this.own[node]!.push(index);
    });
    this.link();
  }

  /** Calls `found` with each match: the pattern's index, and where it starts and ends. In the order of their ends. */
  search(text: string, found: (pattern: number, start: number, end: number) => void): void {
    let node = 0;
    for (let i = 0; i < text.length; i++) {
      node = this.step(node, text.charCodeAt(i));
      for (let at = this.own[node]!.length > 0 ? node : this.output[node]!; at !== 0; at = this.output[at]!) {
        for (const pattern of this.own[at]!) found(pattern, i + 1 - this.patterns[pattern]!.length, i + 1);
      }
    }
  }

  private step(from: number, unit: number): number {
    for (let node = from; ; node = this.fail[node]!) {
      const child = this.next[node]!.get(unit);
      if (child !== undefined) return child;
      if (node === 0) return 0;
    }
  }

  /** Breadth first: a node's suffix link leads to a shallower node, whose links are there already. */
  private link(): void {
    const queue = [...this.next[0]!.values()];
    for (let at = 0; at < queue.length; at++) {
      const node = queue[at]!;
      for (const [unit, child] of this.next[node]!) {
        const suffix = this.step(this.fail[node]!, unit);
        this.fail[child] = suffix;
        this.output[child] = this.own[suffix]!.length > 0 ? suffix : this.output[suffix]!;
        queue.push(child);
      }
    }
  }
}
