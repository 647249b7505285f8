import { randomInt } from 'node:crypto';
import type { AdapterHandle } from './adapter-slots.js';
import { checkRequest } from './check-request.js';
import { generationErrors } from './errors.js';
import { EventQueue } from './event-queue.js';
import type { StepExecutor, StepResult } from './executor.js';
import { guessForced } from './forced.js';
import { Outbox } from './outbox.js';
import type { GenerateEvent, GenerateRequest } from './request.js';
import { samplingRows } from './sampling-rows.js';
import { type ScheduledSequence, Scheduler } from './scheduler.js';
import type { Sequence } from './sequence.js';
import type { DraftProposer } from './speculation.js';
import { layOutStep, type StepBatch } from './step-batch.js';
import { StepPace } from './step-pace.js';
import { Stream, type TextDecoder } from './stream.js';

export type { TextDecoder } from './stream.js';

export interface GenerationLimits {
  /** Tokens computed in one step. */
  readonly maxBatchTokens: number;
  /** Sequences that run at once. */
  readonly maxSequences: number;
  /** Tokens of one prompt in one step. */
  readonly maxPrefillChunk: number;
  /** Milliseconds that prompts may make running streams wait for their next token, about; 0: no bound. */
  readonly maxStallMilliseconds: number;
  /** Keep computed blocks for requests that begin alike. */
  readonly prefixCache: boolean;
  /** Guess ahead (`GenerationOptions.proposer`) while at most this many sequences run: a wide batch has no idle arithmetic. */
  readonly maxSpeculating: number;
}

export interface GenerationOptions {
  readonly executor: StepExecutor;
  /** Positions that the model was made for. */
  readonly contextLength: number;
  /** Tokens that end a text. */
  readonly eosTokenIds: readonly number[];
  /** A fresh decoder for one stream. */
  readonly decoder: () => TextDecoder;
  readonly limits?: Partial<GenerationLimits>;
  /** Guesses tokens ahead, so that one step yields several. */
  readonly proposer?: DraftProposer;
  /** Called with each step before it runs. */
  readonly onStep?: (step: readonly ScheduledSequence[], scheduler: Scheduler) => void;
}

export interface GenerationStats {
  readonly waiting: number;
  readonly waitingTokens: number;
  readonly running: number;
  readonly cacheBlocks: number;
  readonly cacheBlocksUsed: number;
  readonly preemptions: number;
  readonly steps: number;
  readonly promptTokens: number;
  /** Prompt tokens that were found in the cache. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** Tokens guessed ahead, and those of them that the model would have drawn itself. */
  readonly draftTokens: number;
  readonly acceptedTokens: number;
  /** Steps that did not fit in memory and were done in smaller ones. */
  readonly splitSteps: number;
  /** What the last step failed with; gone when one succeeds. */
  readonly failure?: string;
}

/** A running request: iterate it for its events. Leaving the loop early cancels the request. */
export type GenerationStream = AsyncIterable<GenerateEvent>;

/** Bounds of a batch where nothing else is said. */
export const defaultLimits: GenerationLimits = {
  maxBatchTokens: 512,
  maxSequences: 256,
  maxPrefillChunk: 512,
  maxStallMilliseconds: 100,
  prefixCache: true,
  maxSpeculating: 4,
};

/** Share of a step's time for which it is put off when grammars have not yet said what may follow. */
const PATIENCE = 0.1;

/** After so many steps that went well a larger one is tried where memory had been short. */
const STEPS_TO_RECOVER = 64;

/**
 * Continuous batching over one model: requests join the running batch at the next step and leave it when they end. One
 * loop does everything; it awaits the device once a step and computes nothing itself. What a step drew goes to its readers
 * while the next one runs.
 */
export class GenerationEngine {
  private readonly scheduler: Scheduler;
  private readonly streams = new Map<Sequence, Stream>();
  private readonly limits: GenerationLimits;
  private loop: Promise<void> | undefined;
  private closed = false;
  private steps = 0;
  private promptTokens = 0;
  private cachedTokens = 0;
  private generatedTokens = 0;
  private draftTokens = 0;
  private acceptedTokens = 0;
  private splitSteps = 0;
  private failure: string | undefined;
  private readonly outbox = new Outbox();
  private readonly pace: StepPace;
  private stepMilliseconds = 0;
  /** Tokens of a step while memory is short, and the steps since it last failed. */
  private memoryBudget = Number.POSITIVE_INFINITY;
  private fittingSteps = 0;
  /** Wakes the loop while every sequence is blocked. */
  private wake: (() => void) | undefined;
  /** Called when a stream leaves. */
  private readonly releases: (() => void)[] = [];

  constructor(private readonly options: GenerationOptions) {
    const given = Object.entries(options.limits ?? {}).filter(([, value]) => value !== undefined);
    this.limits = { ...defaultLimits, ...Object.fromEntries(given) };
    const { executor } = options;
    this.pace = new StepPace(this.limits.maxStallMilliseconds || Number.POSITIVE_INFINITY);
    this.scheduler = new Scheduler(
      executor.blockCount,
      { ...this.limits, blockSize: executor.blockSize },
      ({ fullLength }) => executor.keyVariant?.(fullLength) ?? '',
    );
  }

  /** Tokens of one sequence that fit: the model's context, or the cache when that is smaller. */
  get contextLength(): number {
    return Math.min(this.options.contextLength, this.options.executor.blockCount * this.options.executor.blockSize);
  }

  /**
   * Admits a request and returns its stream at once. Throws LF_ENGINE_CONTEXT_LENGTH when prompt and `maxTokens` exceed
   * the context, LF_ENGINE_INVALID_REQUEST when a value is out of range, and LF_ENGINE_CLOSED after `close`.
   */
  generate(request: GenerateRequest): GenerationStream {
    if (this.closed) throw generationErrors.CLOSED();
    checkRequest(request, { contextLength: this.contextLength, vocabSize: this.options.executor.vocabSize });
    const sequence = this.scheduler.add(request);
    const seed = request.sampling.seed ?? randomInt(2 ** 47);
    const events = new EventQueue<GenerateEvent>(() => this.cancel(sequence));
    const ends = new Set([...(request.ignoreEos ? [] : this.options.eosTokenIds), ...(request.stopTokenIds ?? [])]);
    const words = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)] as const;
    const stream = new Stream(sequence, events, this.options.decoder(), ends, words);
    this.streams.set(sequence, stream);
    this.promptTokens += sequence.promptLength + sequence.forcedLength;
    if (request.signal) {
      const { signal } = request;
      const abort = () => {
        events.fail(signal.reason);
        this.cancel(sequence);
      };
      if (signal.aborted) {
        abort();
        return events;
      }
      signal.addEventListener('abort', abort, { once: true });
      stream.detach = () => signal.removeEventListener('abort', abort);
    }
    this.constrain(stream);
    this.wake?.();
    this.loop ??= this.run();
    return events;
  }

  stats(): GenerationStats {
    return {
      waiting: this.scheduler.waitingCount,
      waitingTokens: this.scheduler.waitingTokens,
      running: this.scheduler.runningCount,
      cacheBlocks: this.scheduler.pool.count,
      cacheBlocksUsed: this.scheduler.pool.used,
      preemptions: this.scheduler.preemptionCount,
      steps: this.steps,
      promptTokens: this.promptTokens,
      cachedTokens: this.cachedTokens,
      generatedTokens: this.generatedTokens,
      draftTokens: this.draftTokens,
      acceptedTokens: this.acceptedTokens,
      splitSteps: this.splitSteps,
      ...(this.failure !== undefined && { failure: this.failure }),
    };
  }

  /** Resolves when no request uses the adapter any more. New ones are the caller's affair. */
  async drained(adapter: AdapterHandle): Promise<void> {
    const { serial } = adapter;
    while ([...this.streams.keys()].some(({ request }) => request.adapter?.serial === serial)) {
      await new Promise<void>((resolve) => this.releases.push(resolve));
    }
  }

  /** Ends every stream with an error, waits for the step that runs, and frees the cache. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const stream of [...this.streams.values()]) {
      stream.events.fail(generationErrors.CLOSED());
      this.release(stream);
    }
    this.wake?.();
    await this.loop;
    this.options.proposer?.close?.();
    this.options.executor.close();
  }

  private fail(sequence: Sequence, error: unknown): void {
    const stream = this.streams.get(sequence);
    if (!stream) return;
    stream.events.fail(error);
    this.release(stream);
  }

  private cancel(sequence: Sequence): void {
    const stream = this.streams.get(sequence);
    if (stream) this.release(stream);
  }

  /** Takes a stream out of every list. Its blocks are free for the next step. */
  private release(stream: Stream): void {
    stream.detach();
    this.streams.delete(stream.sequence);
    this.scheduler.remove(stream.sequence);
    this.options.proposer?.release?.(stream.sequence);
    stream.sequence.request.constraint?.dispose?.();
    for (const resolve of this.releases.splice(0)) resolve();
    this.wake?.();
  }

  /** Asks what may follow; until the answer is there, the sequence takes part in no step. */
  private constrain(stream: Stream): void {
    const { sequence } = stream;
    const answer = sequence.request.constraint?.next();
    if (answer === undefined || answer instanceof Uint32Array) {
      stream.mask = answer;
      return;
    }
    sequence.blocked = true;
    answer.then(
      (mask) => {
        stream.mask = mask;
        sequence.blocked = false;
        this.wake?.();
      },
      (error) => this.fail(sequence, error),
    );
  }

  private async run(): Promise<void> {
    // A request that arrives while others are being admitted in the same turn of the event loop joins the first step.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.streams.size > 0 && !this.closed) await this.step();
    this.outbox.deliver();
    this.loop = undefined;
    if (this.streams.size > 0 && !this.closed) this.loop = this.run();
  }

  private async step(): Promise<void> {
    await this.masks();
    await this.speculate();
    guessForced(this.scheduler.drawing());
    const scheduled = this.scheduler.schedule(this.pace.promptTokens, this.memoryBudget);
    if (scheduled.length === 0) {
      this.outbox.deliver();
      if (this.streams.size > 0 && !this.closed) await this.woken();
      return;
    }
    this.options.onStep?.(scheduled, this.scheduler);
    const batch = layOutStep(scheduled, this.options.executor.blockSize);
    const result = await this.execute(batch, scheduled);
    // Readers are never further behind than one step.
    await this.outbox.delivered();
    if (!result) return;
    let row = 0;
    for (const { sequence, count } of scheduled) {
      let rows = 0;
      while (batch.draws[row + rows]?.sequence === sequence) rows++;
      const stream = this.streams.get(sequence);
      // Not there: the request was cancelled while the step ran.
      if (stream && rows > 0) this.acceptDraws(stream, count, result, row, rows);
      else if (stream) this.scheduler.advance(sequence, count);
      row += rows;
    }
  }

  /** Runs a step on the device; undefined when it failed. */
  private async execute(batch: StepBatch, scheduled: readonly ScheduledSequence[]): Promise<StepResult | undefined> {
    const { executor } = this.options;
    const start = performance.now();
    try {
      const rows = samplingRows(
        batch.draws,
        (sequence) => this.streams.get(sequence)!.seed,
        (sequence) => this.streams.get(sequence)!.mask,
        executor.vocabSize,
      );
      const execution = executor.execute(batch, rows);
      this.outbox.deliver();
      const result = await execution;
      this.stepMilliseconds = performance.now() - start;
      this.pace.note(batch.tokens.length, this.stepMilliseconds);
      this.steps++;
      this.failure = undefined;
      if (this.memoryBudget < Number.POSITIVE_INFINITY && ++this.fittingSteps >= STEPS_TO_RECOVER) {
        this.fittingSteps = 0;
        this.memoryBudget = 2 * this.memoryBudget < this.limits.maxBatchTokens ? 2 * this.memoryBudget : Infinity;
      }
      return result;
    } catch (error) {
      this.outbox.deliver();
      if (isOutOfMemory(error) && batch.tokens.length > 1) {
        // Nothing of the step counts yet: smaller ones do the same.
        this.memoryBudget = Math.floor(batch.tokens.length / 2);
        this.fittingSteps = 0;
        this.splitSteps++;
        return undefined;
      }
      this.failure = (error as Error).message;
      // The step's requests fail; those that still wait may work.
      for (const { sequence } of scheduled) this.fail(sequence, error);
      return undefined;
    }
  }

  /** Resolves when something has changed that may make a step possible. */
  private async woken(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    this.wake = undefined;
  }

  /** Waits a moment for masks that are on their way: without, their streams would miss every second step. */
  private async masks(): Promise<void> {
    const missing = () => this.scheduler.holders.some(({ blocked }) => blocked);
    const patience = PATIENCE * this.stepMilliseconds;
    if (patience < 1 || !missing()) return;
    this.outbox.deliver();
    const deadline = performance.now() + patience;
    const timer = setTimeout(() => this.wake?.(), patience);
    while (missing() && performance.now() < deadline && !this.closed) await this.woken();
    clearTimeout(timer);
  }

  /** Lets the proposer guess ahead for the sequences that only wait for their next token. */
  private async speculate(): Promise<void> {
    const { proposer } = this.options;
    if (!proposer) return;
    const ready = this.scheduler.drawing();
    if (ready.length === 0 || ready.length > this.limits.maxSpeculating) return;
    const able = ready.filter(
      ({ request, outputLength, forcedLength }) => request.constraint === undefined && outputLength >= forcedLength,
    );
    let drafts: readonly number[][];
    try {
      const proposal = proposer.propose(able, ({ outputLimit, outputLength }) => outputLimit - outputLength - 1);
      this.outbox.deliver();
      drafts = await proposal;
    } catch (error) {
      for (const sequence of able) this.fail(sequence, error);
      return;
    }
    able.forEach((sequence, i) => {
      if (sequence.state === 'running') sequence.draft = drafts[i] ?? [];
    });
  }

  /** Takes the tokens that a step drew after the sequence's last token and after each of its guesses. */
  private acceptDraws(stream: Stream, count: number, result: StepResult, first: number, rows: number): void {
    const { sequence } = stream;
    const guesses = sequence.draft;
    const forced = Math.max(0, Math.min(rows, sequence.forcedLength - sequence.outputLength));
    let taken = 0;
    let going = true;
    while (going && taken < rows) {
      const row = first + taken;
      going = stream.accept(result, row) && result.tokens[row] === guesses[taken];
      taken++;
    }
    this.generatedTokens += taken - forced;
    if (forced === 0) {
      this.draftTokens += rows - 1;
      this.acceptedTokens += taken - 1;
    }
    this.scheduler.advance(sequence, count);
    this.outbox.add(stream.events);
    if (!stream.ended) {
      this.constrain(stream);
      return;
    }
    stream.finish();
    this.cachedTokens += sequence.cachedTokens ?? 0;
    this.release(stream);
  }
}

function isOutOfMemory(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === 'LF_ENGINE_OUT_OF_MEMORY' || code === 'LF_BACKEND_OUT_OF_MEMORY';
}
