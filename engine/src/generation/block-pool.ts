/** What happens to the content of a free block: a cache may keep it until the block is taken again. */
export interface BlockKeeper {
  /** Whether the content of a block without users is worth keeping; such blocks are taken last, oldest first. */
  keeps(block: number): boolean;
  /** The block is about to be overwritten. */
  evicted(block: number): void;
}

const NONE = -1;

/**
 * Counts who uses which block of the key-value cache. A block holds the keys and values of a fixed number of
 * consecutive positions in every layer. Blocks are numbered 0..count-1; the memory itself belongs to the model's cache.
 *
 * Free blocks form a doubly linked list over arrays: taken from its head, released to its head when nobody keeps the
 * content, else to its tail, and taken out of its middle when a kept block is used again.
 */
export class BlockPool {
  private readonly references: Uint32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** Index of the list's end in `next` and `previous`. */
  private readonly end: number;
  private freeCount = 0;

  constructor(
    readonly count: number,
    private readonly keeper: BlockKeeper = { keeps: () => false, evicted: () => {} },
  ) {
    this.references = new Uint32Array(count);
    this.end = count;
    this.next = new Int32Array(count + 1).fill(NONE);
    this.previous = new Int32Array(count + 1).fill(NONE);
    this.next[this.end] = this.end;
    this.previous[this.end] = this.end;
    for (let block = 0; block < count; block++) this.insertBefore(this.end, block);
  }

  /** Blocks that `allocate` can give, kept ones included. */
  get available(): number {
    return this.freeCount;
  }

  /** Blocks with at least one user. */
  get used(): number {
    return this.count - this.freeCount;
  }

  /** Takes `n` blocks, or none and `undefined` when there are too few. */
  allocate(n: number): number[] | undefined {
    if (n > this.freeCount) return undefined;
    const blocks: number[] = [];
    for (let i = 0; i < n; i++) {
      const block = this.next[this.end]!;
      this.unlink(block);
      if (this.keeper.keeps(block)) this.keeper.evicted(block);
      this.references[block] = 1;
      blocks.push(block);
    }
    return blocks;
  }

  /** One more user of a block that is in use, or the first of a free block whose content is kept. */
  share(block: number): void {
    if (this.references[block] === 0) {
      if (!this.keeper.keeps(block)) throw new Error(`block ${block} is free and cannot be shared`);
      this.unlink(block);
    }
    this.references[block]!++;
  }

  /**
   * One user less of each block; a block without users is free again. The last block is freed first, so that the end of
   * a kept sequence is lost before its beginning.
   */
  release(blocks: readonly number[]): void {
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i]!;
      if (this.references[block] === 0) throw new Error(`block ${block} was released twice`);
      if (--this.references[block]! > 0) continue;
      this.insertBefore(this.keeper.keeps(block) ? this.end : this.next[this.end]!, block);
    }
  }

  referenceCount(block: number): number {
    return this.references[block] ?? 0;
  }

  private insertBefore(at: number, block: number): void {
    const before = this.previous[at]!;
    this.next[before] = block;
    this.previous[block] = before;
    this.next[block] = at;
    this.previous[at] = block;
    this.freeCount++;
  }

  private unlink(block: number): void {
    const before = this.previous[block]!;
    const after = this.next[block]!;
    this.next[before] = after;
    this.previous[after] = before;
    this.freeCount--;
  }
}
