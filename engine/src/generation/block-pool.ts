/**
 * Counts who uses which block of the key-value cache. A block holds the keys and values of a fixed number of
 * consecutive positions in every layer. Blocks are numbered 0..count-1; the memory itself belongs to the model's cache.
 */
export class BlockPool {
  private readonly references: Uint32Array;
  private readonly free: number[] = [];

  constructor(readonly count: number) {
    this.references = new Uint32Array(count);
    for (let block = count - 1; block >= 0; block--) this.free.push(block);
  }

  get available(): number {
    return this.free.length;
  }

  get used(): number {
    return this.count - this.free.length;
  }

  /** Takes `n` blocks, or none and `undefined` when there are too few. */
  allocate(n: number): number[] | undefined {
    if (n > this.free.length) return undefined;
    const blocks: number[] = [];
    for (let i = 0; i < n; i++) {
      const block = this.free.pop()!;
      this.references[block] = 1;
      blocks.push(block);
    }
    return blocks;
  }

  /** One more user of a block that is in use. */
  share(block: number): void {
    if (this.references[block] === 0) throw new Error(`block ${block} is free and cannot be shared`);
    this.references[block]!++;
  }

  /** One user less of each block; a block without users is free again. */
  release(blocks: Iterable<number>): void {
    for (const block of blocks) {
      if (this.references[block] === 0) throw new Error(`block ${block} was released twice`);
      if (--this.references[block]! === 0) this.free.push(block);
    }
  }

  referenceCount(block: number): number {
    return this.references[block] ?? 0;
  }
}
