import { BlockPool } from './block-pool.js';
import { PrefixCache } from './prefix-cache.js';
import type { GenerateRequest } from './request.js';
import { Sequence } from './sequence.js';

export interface SchedulerLimits {
  /** Tokens computed in one step. */
  readonly maxBatchTokens: number;
  /** Sequences in one step. */
  readonly maxSequences: number;
  /** Tokens of one sequence's prompt in one step, so that a long prompt does not stall the running streams. */
  readonly maxPrefillChunk: number;
  /** Positions in a block of the cache. */
  readonly blockSize: number;
  /** Keep computed blocks for requests that begin alike; on unless false. */
  readonly prefixCache?: boolean;
}

/**
 * How many waiting requests are looked at behind one that waits for a prefix that another is computing right now.
 */
const LOOK_AHEAD = 32;

/** A sequence and the number of its tokens that the step computes. */
export interface ScheduledSequence {
  readonly sequence: Sequence;
  readonly count: number;
}

/**
 * Decides what each step computes. A step is a set of (sequence, number of new tokens) under a token budget: running
 * sequences first, in their order, then waiting ones. A sequence that cannot get a cache block makes the one that
 * would run last give its blocks back; that one is computed again from the head of the queue. (The scheme of vLLM V1.)
 *
 * What a request shares with an earlier one is not computed again, see PrefixCache; a request whose next block another
 * one is computing just now waits for it.
 */
export class Scheduler {
  private readonly waiting: Sequence[] = [];
  private running: Sequence[] = [];
  private nextId = 1;
  private preempted = 0;
  private readonly prefixes: PrefixCache;
  readonly pool: BlockPool;

  constructor(
    blockCount: number,
    private readonly limits: SchedulerLimits,
    variant?: (sequence: Sequence) => string,
  ) {
    this.prefixes = new PrefixCache(blockCount, limits.blockSize, variant);
    this.pool = new BlockPool(blockCount, limits.prefixCache === false ? undefined : this.prefixes);
  }

  get waitingCount(): number {
    return this.waiting.length;
  }

  get runningCount(): number {
    return this.running.length;
  }

  get preemptionCount(): number {
    return this.preempted;
  }

  /** Tokens that wait to be computed for the first time. */
  get waitingTokens(): number {
    let total = 0;
    for (const sequence of this.waiting) total += sequence.pending;
    return total;
  }

  add(request: GenerateRequest): Sequence {
    const sequence = new Sequence(this.nextId++, request, request.priority ?? 0);
    this.enqueue(sequence);
    return sequence;
  }

  /** Takes a sequence out, in whatever state, and frees its blocks. */
  remove(sequence: Sequence): void {
    if (sequence.state === 'finished') return;
    const list = sequence.state === 'waiting' ? this.waiting : this.running;
    const index = list.indexOf(sequence);
    if (index >= 0) list.splice(index, 1);
    this.forget(sequence);
    sequence.state = 'finished';
  }

  /** Running sequences of which nothing but their last token is still to be computed. */
  drawing(): Sequence[] {
    return this.running.filter((sequence) => !sequence.blocked && sequence.pending === 1);
  }

  /** The next step's work; empty when there is none. Blocks for it are allocated. */
  schedule(): ScheduledSequence[] {
    const step: ScheduledSequence[] = [];
    let budget = this.limits.maxBatchTokens;

    for (let i = 0; i < this.running.length && budget > 0; ) {
      const sequence = this.running[i]!;
      if (sequence.blocked) {
        i++;
        continue;
      }
      const count = Math.min(sequence.pending, this.limits.maxPrefillChunk, budget);
      const outcome = this.reserveOrPreempt(sequence, count, step);
      budget += outcome.refunded;
      if (!outcome.reserved) continue; // the sequence itself was preempted: running[i] is now another, or none
      step.push({ sequence, count });
      budget -= count;
      i = this.running.indexOf(sequence) + 1;
    }

    const underway = this.blocksUnderway();
    for (let i = 0; i < this.waiting.length && i < LOOK_AHEAD && budget > 0; ) {
      if (this.running.length >= this.limits.maxSequences) break;
      const sequence = this.waiting[i]!;
      const admitted = this.admit(sequence, budget, underway);
      if (admitted === 'later') {
        i++;
        continue;
      }
      // Out of blocks: admitting one of those behind would only make this one wait for ever.
      if (admitted === 'full') break;
      this.waiting.splice(i, 1);
      sequence.state = 'running';
      this.running.push(sequence);
      step.push({ sequence, count: admitted });
      budget -= admitted;
    }
    return step;
  }

  /**
   * A step wrote the keys and values of `count` more positions, and its draws were added to the sequence's tokens.
   * Positions of guesses that were not taken will be written again.
   */
  advance(sequence: Sequence, count: number): void {
    sequence.computed = Math.min(sequence.computed + count, sequence.tokens.length - 1);
    sequence.draft = [];
    if (this.limits.prefixCache !== false) this.prefixes.add(sequence);
  }

  /** Blocks that a sequence of this many tokens needs at most. */
  blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.limits.blockSize);
  }

  private enqueue(sequence: Sequence): void {
    let at = this.waiting.length;
    while (at > 0 && this.waiting[at - 1]!.priority > sequence.priority) at--;
    this.waiting.splice(at, 0, sequence);
  }

  /** Identities of the prompt blocks that running sequences compute next. */
  private blocksUnderway(): Set<string> {
    const underway = new Set<string>();
    for (const sequence of this.running) this.addUnderway(sequence, underway);
    return underway;
  }

  private addUnderway(sequence: Sequence, underway: Set<string>): void {
    if (this.limits.prefixCache === false || sequence.pending <= 1) return;
    const key = this.prefixes.blockKey(sequence);
    if (key !== undefined) underway.add(key);
  }

  /**
   * Gives a waiting sequence the blocks that it finds in the cache and those that its first step needs. Returns the
   * number of tokens of that step, 'later' when another sequence is computing what this one needs first, or 'full'.
   */
  private admit(sequence: Sequence, budget: number, underway: Set<string>): number | 'later' | 'full' {
    if (sequence.blocked) return 'later';
    if (this.limits.prefixCache !== false) {
      const { blocks, parent } = this.prefixes.match(sequence);
      sequence.prefixBlocks = blocks.length;
      sequence.prefixParent = parent;
      const next = this.prefixes.blockKey(sequence);
      if (next !== undefined && underway.has(next)) return 'later';
      for (const block of blocks) this.pool.share(block);
      sequence.blocks = [...blocks];
      sequence.computed = blocks.length * this.limits.blockSize;
    }
    const count = Math.min(sequence.pending, this.limits.maxPrefillChunk, budget);
    if (!this.reserve(sequence, count)) {
      this.forget(sequence);
      return 'full';
    }
    sequence.cachedTokens ??= sequence.computed;
    this.addUnderway(sequence, underway);
    return count;
  }

  /** Makes room for `count` more tokens of the sequence, without taking anything from others. */
  private reserve(sequence: Sequence, count: number): boolean {
    const missing = this.blocksFor(sequence.computed + count) - sequence.blocks.length;
    if (missing <= 0) return true;
    const blocks = this.pool.allocate(missing);
    if (!blocks) return false;
    sequence.blocks.push(...blocks);
    return true;
  }

  private reserveOrPreempt(
    sequence: Sequence,
    count: number,
    step: ScheduledSequence[],
  ): { reserved: boolean; refunded: number } {
    let refunded = 0;
    while (!this.reserve(sequence, count)) {
      const victim = this.leastImportant();
      const scheduled = step.findIndex((entry) => entry.sequence === victim);
      if (scheduled >= 0) refunded += step.splice(scheduled, 1)[0]!.count;
      this.preempt(victim);
      if (victim === sequence) return { reserved: false, refunded };
    }
    return { reserved: true, refunded };
  }

  private leastImportant(): Sequence {
    let worst = this.running[0]!;
    for (const sequence of this.running) {
      if (sequence.priority > worst.priority || (sequence.priority === worst.priority && sequence.id > worst.id)) {
        worst = sequence;
      }
    }
    return worst;
  }

  private preempt(sequence: Sequence): void {
    this.running.splice(this.running.indexOf(sequence), 1);
    this.forget(sequence);
    sequence.draft = [];
    sequence.state = 'waiting';
    sequence.preemptions++;
    this.preempted++;
    // Ahead of everything of its priority: it has been served already.
    let at = 0;
    while (at < this.waiting.length && this.waiting[at]!.priority < sequence.priority) at++;
    this.waiting.splice(at, 0, sequence);
  }

  /** Gives back all that the sequence has in the cache. */
  private forget(sequence: Sequence): void {
    this.pool.release(sequence.blocks);
    sequence.blocks = [];
    sequence.computed = 0;
    sequence.prefixBlocks = 0;
    sequence.prefixParent = undefined;
  }
}
