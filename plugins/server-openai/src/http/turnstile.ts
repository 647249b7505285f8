/**
 * Lets at most `limit` requests begin in one turn of the event loop; the others follow in the next turns, in the order in which
 * they came. Reading, checking and encoding a request takes some 0.1 ms: a thousand that arrive at once would otherwise hold up
 * every running stream until the last has begun.
 */
export class Turnstile {
  private passed = 0;
  private scheduled = false;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly limit: number) {}

  /** Resolves when the caller may go on; undefined when that is at once. */
  pass(): Promise<void> | undefined {
    this.endTurn();
    if (this.passed < this.limit && this.waiting.length === 0) {
      this.passed++;
      return undefined;
    }
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  /** After what is read in this turn, the next ones pass. */
  private endTurn(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      const next = this.waiting.splice(0, this.limit);
      this.passed = next.length;
      for (const resolve of next) resolve();
      if (next.length > 0) this.endTurn();
    });
  }
}
