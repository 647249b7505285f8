import type { BlockPool } from './block-pool.js';
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
}

/** A sequence and the number of its tokens that the step computes. */
export interface ScheduledSequence {
  readonly sequence: Sequence;
  readonly count: number;
}

/**
 * Decides what each step computes. A step is a set of (sequence, number of new tokens) under a token budget: running
 * sequences first, in their order, then waiting ones. A sequence that cannot get a cache block makes the one that
 * would run last give its blocks back; that one is computed again from the head of the queue. (The scheme of vLLM V1.)
 */
export class Scheduler {
  private readonly waiting: Sequence[] = [];
  private running: Sequence[] = [];
  private nextId = 1;
  private preempted = 0;

  constructor(
    private readonly pool: BlockPool,
    private readonly limits: SchedulerLimits,
  ) {}

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
    this.releaseBlocks(sequence);
    sequence.state = 'finished';
  }

  /** The next step's work; empty when there is none. Blocks for it are allocated. */
  schedule(): ScheduledSequence[] {
    const step: ScheduledSequence[] = [];
    let budget = this.limits.maxBatchTokens;

    for (let i = 0; i < this.running.length && budget > 0; ) {
      const sequence = this.running[i]!;
      const count = Math.min(sequence.pending, this.limits.maxPrefillChunk, budget);
      const outcome = this.reserveOrPreempt(sequence, count, step);
      budget += outcome.refunded;
      if (!outcome.reserved) continue; // the sequence itself was preempted: running[i] is now another, or none
      step.push({ sequence, count });
      budget -= count;
      i = this.running.indexOf(sequence) + 1;
    }

    // A preemption in this step means that memory is short: admitting more would only preempt again.
    while (this.waiting.length > 0 && budget > 0 && this.running.length < this.limits.maxSequences) {
      const sequence = this.waiting[0]!;
      const count = Math.min(sequence.pending, this.limits.maxPrefillChunk, budget);
      if (!this.reserve(sequence, count)) break;
      this.waiting.shift();
      sequence.state = 'running';
      this.running.push(sequence);
      step.push({ sequence, count });
      budget -= count;
    }
    return step;
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
    this.releaseBlocks(sequence);
    sequence.computed = 0;
    sequence.state = 'waiting';
    sequence.preemptions++;
    this.preempted++;
    // Ahead of everything of its priority: it has been served already.
    let at = 0;
    while (at < this.waiting.length && this.waiting[at]!.priority < sequence.priority) at++;
    this.waiting.splice(at, 0, sequence);
  }

  private releaseBlocks(sequence: Sequence): void {
    this.pool.release(sequence.blocks);
    sequence.blocks = [];
  }
}
