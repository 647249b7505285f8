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

/** Share of a step that is kept for prompts when there are more streams than tokens: who waits must get a first token. */
const PROMPT_SHARE = 0.25;

/** A sequence and the number of its tokens that the step computes. */
export interface ScheduledSequence {
  readonly sequence: Sequence;
  readonly count: number;
}

/**
 * Decides what each step computes. A step is a set of (sequence, number of new tokens) under a token budget: streams that
 * draw a token first, then prompts that were begun, then waiting ones. A sequence that cannot get a cache block makes the
 * least important one give its blocks back, and so does a waiting one that is more important than that; it is computed
 * again from the head of the queue. (The scheme of vLLM V1, with draws before prompts.)
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
    return this.running.filter((sequence) => !sequence.blocked && draws(sequence));
  }

  /** Everything that holds blocks. */
  get holders(): readonly Sequence[] {
    return this.running;
  }

  /**
   * The next step's work; empty when there is none. Blocks for it are allocated.
   * @param promptTokens tokens of prompts that the step may compute beside streams that draw a token in it
   * @param budget tokens of the step, where that is less than the limit
   */
  schedule(promptTokens = Number.POSITIVE_INFINITY, budget = Number.POSITIVE_INFINITY): ScheduledSequence[] {
    const step = new Step(Math.min(budget, this.limits.maxBatchTokens));
    this.scheduleDraws(step);
    // With nobody to hold up, a step may take its time.
    step.promptBudget = step.size > 0 ? promptTokens : Number.POSITIVE_INFINITY;
    this.schedulePrompts(step);
    this.admitWaiting(step);
    return step.entries();
  }

  /** Streams that draw a token come first: no prompt, however long, makes one of them miss a step. */
  private scheduleDraws(step: Step): void {
    const missed: Sequence[] = [];
    const reserve = this.hasPrompts() ? Math.floor(PROMPT_SHARE * step.budget) : 0;
    for (const sequence of [...this.running]) {
      if (sequence.state !== 'running' || sequence.blocked || !draws(sequence)) continue;
      const count = Math.min(sequence.pending, step.budget - reserve);
      if (count < 1) missed.push(sequence);
      else this.take(sequence, count, step);
    }
    // More streams than tokens in a step: those that had to wait come first in the next one, if they still run.
    const late = new Set(missed.filter(({ state }) => state === 'running'));
    if (late.size > 0) this.running = [...late, ...this.running.filter((sequence) => !late.has(sequence))];
  }

  /** Whether there is a prompt to go on with, or one that could be begun. */
  private hasPrompts(): boolean {
    const room = this.waiting.length > 0 && this.running.length < this.limits.maxSequences;
    return room || this.running.some((sequence) => !sequence.blocked && !draws(sequence));
  }

  /** Prompts that were begun, the most important first, and before each of them what waits and is more important still. */
  private schedulePrompts(step: Step): void {
    const prompts = this.running.filter((sequence) => !sequence.blocked && !draws(sequence)).sort(byImportance);
    for (const sequence of prompts) {
      if (this.waiting.length > 0 && this.waiting[0]!.priority < sequence.priority) {
        this.admitWaiting(step, sequence.priority);
      }
      if (sequence.state !== 'running') continue;
      const count = this.promptCount(sequence, step);
      if (count < 1) return;
      this.take(sequence, count, step);
    }
  }

  /** Begins waiting sequences whose priority value is below `limit`. */
  private admitWaiting(step: Step, limit = Number.POSITIVE_INFINITY): void {
    if (this.waiting.length === 0) return;
    const underway = this.blocksUnderway();
    let i = 0;
    while (i < this.waiting.length && i < LOOK_AHEAD) {
      const sequence = this.waiting[i]!;
      if (sequence.priority >= limit || this.promptCount(sequence, step) < 1) return;
      if (sequence.blocked || this.awaits(sequence, underway)) {
        i++;
        continue;
      }
      const count = this.running.length < this.limits.maxSequences ? this.admit(sequence, step) : undefined;
      if (count === undefined) {
        // Admitting one of those behind would only make this one wait for ever.
        if (!this.yieldPlace(sequence, step)) return;
        continue;
      }
      this.waiting.splice(i, 1);
      sequence.state = 'running';
      this.running.push(sequence);
      this.addUnderway(sequence, underway);
      step.add(sequence, count, true);
    }
  }

  /** Tokens of a prompt that still fit in the step. */
  private promptCount(sequence: Sequence, step: Step): number {
    return Math.min(sequence.pending, this.limits.maxPrefillChunk, step.budget, step.promptBudget);
  }

  /** Takes running work into the step, and what it needs from the least important ones. */
  private take(sequence: Sequence, count: number, step: Step): void {
    while (!this.reserve(sequence, count)) {
      const victim = this.leastImportant();
      this.preempt(victim, step);
      if (victim === sequence) return;
    }
    step.add(sequence, count, !draws(sequence));
  }

  /** Makes room for a waiting sequence by preempting one that is less important, if there is one. */
  private yieldPlace(sequence: Sequence, step: Step): boolean {
    if (this.running.length === 0) return false;
    const victim = this.leastImportant();
    if (victim.priority <= sequence.priority) return false;
    this.preempt(victim, step);
    return true;
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
    const { prefixParent, prefixBlocks } = sequence;
    const key = this.prefixes.keyAfter(prefixParent, sequence, prefixBlocks);
    if (key !== undefined) underway.add(key);
  }

  /** Whether another sequence is computing what this one needs first, so that it pays to wait for it. */
  private awaits(sequence: Sequence, underway: ReadonlySet<string>): boolean {
    if (underway.size === 0) return false;
    const { blocks, parent } = this.prefixes.match(sequence);
    const next = this.prefixes.keyAfter(parent, sequence, blocks.length);
    return next !== undefined && underway.has(next);
  }

  /**
   * Gives a waiting sequence the blocks that it finds in the cache and those that its first step needs. Returns the number of
   * tokens of that step, or undefined when there are too few blocks.
   */
  private admit(sequence: Sequence, step: Step): number | undefined {
    if (this.limits.prefixCache !== false) {
      const { blocks, parent } = this.prefixes.match(sequence);
      for (const block of blocks) this.pool.share(block);
      sequence.prefixBlocks = blocks.length;
      sequence.prefixParent = parent;
      sequence.blocks = [...blocks];
      sequence.computed = blocks.length * this.limits.blockSize;
    }
    const count = this.promptCount(sequence, step);
    if (!this.reserve(sequence, count)) {
      this.forget(sequence);
      return undefined;
    }
    sequence.cachedTokens ??= sequence.computed;
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

  private leastImportant(): Sequence {
    return this.running.reduce((worst, sequence) => (byImportance(worst, sequence) < 0 ? sequence : worst));
  }

  private preempt(sequence: Sequence, step: Step): void {
    step.drop(sequence);
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

/** Whether nothing but the last token, and guesses after it, is still to be computed: the next step draws a token. */
const draws = (sequence: Sequence): boolean => sequence.pending - sequence.draft.length === 1;

const byImportance = (a: Sequence, b: Sequence): number => a.priority - b.priority || a.id - b.id;

/** A step while it is put together. */
class Step {
  /** Tokens that the step may still take, and how many of them may be of prompts. */
  budget: number;
  promptBudget = Number.POSITIVE_INFINITY;
  private readonly counts = new Map<Sequence, { count: number; prompt: boolean }>();

  constructor(budget: number) {
    this.budget = budget;
  }

  get size(): number {
    return this.counts.size;
  }

  add(sequence: Sequence, count: number, prompt: boolean): void {
    this.counts.set(sequence, { count, prompt });
    this.budget -= count;
    if (prompt) this.promptBudget -= count;
  }

  /** The sequence lost its blocks: what it would have computed goes to others. */
  drop(sequence: Sequence): void {
    const entry = this.counts.get(sequence);
    if (!entry) return;
    this.counts.delete(sequence);
    this.budget += entry.count;
    if (entry.prompt) this.promptBudget += entry.count;
  }

  entries(): ScheduledSequence[] {
    return Array.from(this.counts, ([sequence, { count }]) => ({ sequence, count }));
  }
}
