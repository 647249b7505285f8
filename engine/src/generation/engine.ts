import { randomInt } from 'node:crypto';
import type { AdapterHandle } from './adapter-slots.js';
import { checkRequest } from './check-request.js';
import { generationErrors } from './errors.js';
import { EventQueue } from './event-queue.js';
import type { StepExecutor, StepResult } from './executor.js';
import type { FinishReason, GenerateEvent, GenerateRequest, PositionLogprobs } from './request.js';
import { samplingRows } from './sampling-rows.js';
import { Scheduler } from './scheduler.js';
import type { Sequence } from './sequence.js';
import type { DraftProposer } from './speculation.js';
import { layOutStep } from './step-batch.js';
import { StopStrings } from './stop-strings.js';

/** Turns token ids into text piece by piece, never cutting a character in two. */
export interface TextDecoder {
  push(token: number): string;
  flush(): string;
}

export interface GenerationLimits {
  /** Tokens computed in one step. */
  readonly maxBatchTokens: number;
  /** Sequences that run at once. */
  readonly maxSequences: number;
  /** Tokens of one prompt in one step. */
  readonly maxPrefillChunk: number;
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
}

/** A running request: iterate it for its events. Leaving the loop early cancels the request. */
export type GenerationStream = AsyncIterable<GenerateEvent>;

interface Stream {
  readonly sequence: Sequence;
  readonly events: EventQueue<GenerateEvent>;
  readonly decoder: TextDecoder;
  readonly stops: StopStrings;
  readonly endTokens: ReadonlySet<number>;
  readonly seed: readonly [number, number];
  /** Drawn tokens whose text is still withheld. */
  pendingTokens: number[];
  pendingLogprobs: PositionLogprobs[];
  /** Tokens that may come next, of a constrained request. */
  mask: Uint32Array | undefined;
  /** Why the stream ends, once that is known. */
  finish?: { readonly reason: FinishReason; readonly stop?: string; readonly emitHeld: boolean };
  detach: () => void;
}

const DEFAULT_LIMITS: GenerationLimits = {
  maxBatchTokens: 512,
  maxSequences: 64,
  maxPrefillChunk: 256,
  prefixCache: true,
  maxSpeculating: 4,
};

/**
 * Continuous batching over one model: requests join the running batch at the next step and leave it when they end. One
 * loop does everything; it awaits the device once a step and computes nothing itself.
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
  /** Wakes the loop while every sequence is blocked. */
  private wake: (() => void) | undefined;
  /** Called when a stream leaves. */
  private readonly releases: (() => void)[] = [];

  constructor(private readonly options: GenerationOptions) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    const { executor } = options;
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
    const stream: Stream = {
      sequence,
      events,
      decoder: this.options.decoder(),
      stops: new StopStrings(request.stop ?? []),
      endTokens: new Set([...(request.ignoreEos ? [] : this.options.eosTokenIds), ...(request.stopTokenIds ?? [])]),
      seed: [seed % 2 ** 32, Math.floor(seed / 2 ** 32)],
      pendingTokens: [],
      pendingLogprobs: [],
      mask: undefined,
      detach: () => {},
    };
    this.streams.set(sequence, stream);
    this.promptTokens += sequence.promptLength;
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
    this.loop = undefined;
    if (this.streams.size > 0 && !this.closed) this.loop = this.run();
  }

  private async step(): Promise<void> {
    await this.speculate();
    const scheduled = this.scheduler.schedule();
    if (scheduled.length === 0) {
      if (this.streams.size === 0 || this.closed) return;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
      return;
    }
    const batch = layOutStep(scheduled, this.options.executor.blockSize);
    const rows = samplingRows(
      batch.draws,
      (sequence) => this.streams.get(sequence)!.seed,
      (sequence) => this.streams.get(sequence)!.mask,
      this.options.executor.vocabSize,
    );
    let result: StepResult;
    try {
      result = await this.options.executor.execute(batch, rows);
    } catch (error) {
      // The step's requests fail; those that still wait may work (a smaller batch may fit where this one did not).
      for (const { sequence } of scheduled) this.fail(sequence, error);
      return;
    }
    this.steps++;
    let row = 0;
    for (const { sequence, count } of scheduled) {
      const drawn = batch.draws[row]?.sequence === sequence;
      let rows = 0;
      while (batch.draws[row + rows]?.sequence === sequence) rows++;
      const stream = this.streams.get(sequence);
      // Not there: the request was cancelled while the step ran.
      if (stream && drawn) this.acceptDraws(stream, count, result, row, rows);
      else if (stream) this.scheduler.advance(sequence, count);
      row += rows;
    }
  }

  /** Lets the proposer guess ahead for the sequences that only wait for their next token. */
  private async speculate(): Promise<void> {
    const { proposer } = this.options;
    if (!proposer) return;
    const ready = this.scheduler.drawing();
    if (ready.length === 0 || ready.length > this.limits.maxSpeculating) return;
    const able = ready.filter(({ request }) => request.constraint === undefined);
    let drafts: readonly number[][];
    try {
      drafts = await proposer.propose(able, ({ request, outputLength }) => request.maxTokens - outputLength - 1);
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
    let taken = 0;
    let going = true;
    while (going && taken < rows) {
      const token = result.tokens[first + taken]!;
      going = this.accept(stream, token, this.logprobsOf(stream, result, first + taken)) && token === guesses[taken];
      taken++;
    }
    this.draftTokens += rows - 1;
    this.acceptedTokens += taken - 1;
    this.scheduler.advance(sequence, count);
    if (stream.finish) this.finish(stream);
    else this.constrain(stream);
  }

  private logprobsOf(stream: Stream, result: StepResult, row: number): PositionLogprobs | undefined {
    const wanted = stream.sequence.request.logprobs;
    if (wanted === undefined) return undefined;
    const top = Array.from({ length: Math.min(wanted, result.top) }, (_, i) => ({
      token: result.topTokens[row * result.top + i]!,
      logprob: result.topLogprobs[row * result.top + i]!,
    }));
    return { token: result.tokens[row]!, logprob: result.logprobs[row]!, top };
  }

  /** Takes one drawn token into its stream; false when that ends it. */
  private accept(stream: Stream, token: number, logprobs: PositionLogprobs | undefined): boolean {
    const { sequence } = stream;
    const { constraint, maxTokens } = sequence.request;
    this.generatedTokens++;
    sequence.tokens.push(token);
    if (stream.endTokens.has(token)) {
      // The end token is counted, as every server of this kind does, but it is no text.
      stream.finish = { reason: 'stop', emitHeld: true };
      return false;
    }
    stream.pendingTokens.push(token);
    if (logprobs) stream.pendingLogprobs.push(logprobs);
    const { text, stop } = stream.stops.push(stream.decoder.push(token));
    if (text.length > 0) this.emit(stream, text);
    if (stop !== undefined) stream.finish = { reason: 'stop', stop, emitHeld: false };
    else if (constraint?.accept(token)) stream.finish = { reason: 'stop', emitHeld: true };
    else if (sequence.outputLength >= maxTokens) stream.finish = { reason: 'length', emitHeld: true };
    return stream.finish === undefined;
  }

  private emit(stream: Stream, text: string): void {
    const logprobs = stream.sequence.request.logprobs === undefined ? undefined : stream.pendingLogprobs;
    stream.events.push({ type: 'token', text, tokens: stream.pendingTokens, logprobs });
    stream.pendingTokens = [];
    stream.pendingLogprobs = [];
  }

  private finish(stream: Stream): void {
    const { sequence } = stream;
    const { reason, stop, emitHeld } = stream.finish!;
    if (emitHeld) {
      const last = stream.stops.push(stream.decoder.flush());
      const text = last.text + (last.stop === undefined ? stream.stops.flush() : '');
      if (text.length > 0 || stream.pendingTokens.length > 0) this.emit(stream, text);
    }
    const cachedTokens = sequence.cachedTokens ?? 0;
    this.cachedTokens += cachedTokens;
    stream.events.push({
      type: 'done',
      finishReason: reason,
      stop,
      usage: { promptTokens: sequence.promptLength, completionTokens: sequence.outputLength, cachedTokens },
    });
    stream.events.end();
    this.release(stream);
  }
}
