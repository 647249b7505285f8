import type { BlockKeeper } from './block-pool.js';
import type { Sequence } from './sequence.js';

/** The blocks at the beginning of a sequence that are in the cache already. */
export interface PrefixMatch {
  readonly blocks: readonly number[];
  /** Identity of the last of them, or of the empty prefix. */
  readonly parent: string;
}

/**
 * Finds the key-value blocks of token prefixes that were computed before, by any request. A full block is known by its
 * tokens and by the identity of the block before it, so that equal identities mean equal prefixes: the tokens themselves
 * are the key, there is no hash that could collide. The first block's parent is the sequence's adapter, salt and variant: what was
 * computed under another adapter, or for another tenant, is never found.
 *
 * Only full blocks are shared, and a full block is never written again: no copy on write is needed.
 */
export class PrefixCache implements BlockKeeper {
  private readonly blockOf = new Map<string, number>();
  private readonly keyOf: (string | undefined)[];
  /** A number that no block had before: identities stay apart when a block is reused. */
  private readonly identityOf: Float64Array;
  private nextIdentity = 1;

  constructor(
    blockCount: number,
    private readonly blockSize: number,
    /** What keys depend on besides: sequences that differ in it share nothing. */
    private readonly variant: (sequence: Sequence) => string = () => '',
  ) {
    this.keyOf = new Array(blockCount);
    this.identityOf = new Float64Array(blockCount);
  }

  keeps(block: number): boolean {
    return this.keyOf[block] !== undefined;
  }

  evicted(block: number): void {
    const key = this.keyOf[block];
    if (key === undefined) return;
    this.blockOf.delete(key);
    this.keyOf[block] = undefined;
  }

  /** The longest cached prefix of the sequence. Its last token is never part of it: something must be computed. */
  match(sequence: Sequence): PrefixMatch {
    const limit = Math.floor((sequence.tokens.length - 1) / this.blockSize);
    const blocks: number[] = [];
    let parent = this.root(sequence);
    while (blocks.length < limit) {
      const block = this.blockOf.get(this.key(parent, sequence.tokens, blocks.length));
      if (block === undefined) break;
      blocks.push(block);
      parent = String(this.identityOf[block]);
    }
    return { blocks, parent };
  }

  /**
   * What the block of a sequence behind `index` others will be known by; undefined when its tokens end before.
   * @param parent identity of the block before it; the empty prefix when undefined
   */
  keyAfter(parent: string | undefined, sequence: Sequence, index: number): string | undefined {
    if ((index + 1) * this.blockSize > sequence.tokens.length) return undefined;
    return this.key(parent ?? this.root(sequence), sequence.tokens, index);
  }

  /** Makes the blocks that the sequence has computed in full findable. */
  add(sequence: Sequence): void {
    const full = Math.floor(sequence.computed / this.blockSize);
    sequence.prefixParent ??= this.root(sequence);
    for (; sequence.prefixBlocks < full; sequence.prefixBlocks++) {
      const key = this.key(sequence.prefixParent, sequence.tokens, sequence.prefixBlocks);
      let block = this.blockOf.get(key);
      if (block === undefined) {
        // A request beside this one may have computed the same; then the first one stays the one that is found.
        block = sequence.blocks[sequence.prefixBlocks]!;
        this.blockOf.set(key, block);
        this.keyOf[block] = key;
        this.identityOf[block] = this.nextIdentity++;
      }
      sequence.prefixParent = String(this.identityOf[block]);
    }
  }

  private root(sequence: Sequence): string {
    const { adapter, cacheSalt = '' } = sequence.request;
    return `${adapter?.serial ?? 0}:${this.variant(sequence)}:${JSON.stringify(cacheSalt)}`;
  }

  private key(parent: string, tokens: readonly number[], index: number): string {
    return `${parent}|${tokens.slice(index * this.blockSize, (index + 1) * this.blockSize).join()}`;
  }
}
