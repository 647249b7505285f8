import { randomInt } from 'node:crypto';
import { BlockPool } from './block-pool.js';
import { generationErrors } from './errors.js';
import { EventQueue } from './event-queue.js';
import type { StepExecutor, StepResult } from './executor.js';
import type { FinishReason, GenerateEvent, GenerateRequest, PositionLogprobs } from './request.js';
import { samplingRows } from './sampling-rows.js';
import { Scheduler } from './scheduler.js';
import type { Sequence } from './sequence.js';
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
  readonly generatedTokens: number;
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
  detach: () => void;
}

const DEFAULT_LIMITS: GenerationLimits = { maxBatchTokens: 512, maxSequences: 64, maxPrefillChunk: 256 };

/**
 * Continuous batching over one model: requests join the running batch at the next step and leave it when they end. One
 * loop does everything; it awaits the device once a step and computes nothing itself.
 */
export class GenerationEngine {
  private readonly pool: BlockPool;
  private readonly scheduler: Scheduler;
  private readonly streams = new Map<Sequence, Stream>();
  private readonly limits: GenerationLimits;
  private loop: Promise<void> | undefined;
  private closed = false;
  private steps = 0;
  private promptTokens = 0;
  private generatedTokens = 0;

  constructor(private readonly options: GenerationOptions) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.pool = new BlockPool(options.executor.blockCount);
    this.scheduler = new Scheduler(this.pool, { ...this.limits, blockSize: options.executor.blockSize });
  }

  /** Tokens of one sequence that fit: the model's context, or the cache when that is smaller. */
  get contextLength(): number {
    return Math.min(this.options.contextLength, this.pool.count * this.options.executor.blockSize);
  }

  /**
   * Admits a request and returns its stream at once. Throws LF_ENGINE_CONTEXT_LENGTH when prompt and `maxTokens` exceed
   * the context, LF_ENGINE_INVALID_REQUEST when a value is out of range, and LF_ENGINE_CLOSED after `close`.
   */
  generate(request: GenerateRequest): GenerationStream {
    this.check(request);
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
    this.loop ??= this.run();
    return events;
  }

  stats(): GenerationStats {
    return {
      waiting: this.scheduler.waitingCount,
      waitingTokens: this.scheduler.waitingTokens,
      running: this.scheduler.runningCount,
      cacheBlocks: this.pool.count,
      cacheBlocksUsed: this.pool.used,
      preemptions: this.scheduler.preemptionCount,
      steps: this.steps,
      promptTokens: this.promptTokens,
      generatedTokens: this.generatedTokens,
    };
  }

  /** Ends every stream with an error, waits for the step that runs, and frees the cache. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const stream of [...this.streams.values()]) {
      stream.events.fail(generationErrors.CLOSED());
      this.release(stream);
    }
    await this.loop;
    this.options.executor.close();
  }

  private check(request: GenerateRequest): void {
    if (this.closed) throw generationErrors.CLOSED();
    const length = request.promptTokens.length;
    if (length === 0) throw generationErrors.INVALID_REQUEST({ field: 'promptTokens', reason: 'the prompt is empty' });
    if (!Number.isInteger(request.maxTokens) || request.maxTokens < 1) {
      throw generationErrors.INVALID_REQUEST({
        field: 'maxTokens',
        reason: `${request.maxTokens} is not a positive integer`,
      });
    }
    if (length + request.maxTokens > this.contextLength) {
      throw generationErrors.CONTEXT_LENGTH({
        prompt: length,
        requested: request.maxTokens,
        limit: this.contextLength,
      });
    }
    const { vocabSize } = this.options.executor;
    const inVocabulary = (token: number) => Number.isInteger(token) && token >= 0 && token < vocabSize;
    for (let i = 0; i < length; i++) {
      const token = request.promptTokens[i]!;
      if (!inVocabulary(token)) {
        throw generationErrors.INVALID_REQUEST({
          field: `promptTokens[${i}]`,
          reason: `${token} is not a token of this model's vocabulary of ${vocabSize}`,
        });
      }
    }
    for (const token of request.sampling.logitBias?.keys() ?? []) {
      if (!inVocabulary(token)) {
        throw generationErrors.INVALID_REQUEST({
          field: 'logitBias',
          reason: `${token} is not in the vocabulary of ${vocabSize}`,
        });
      }
    }
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
  }

  private async run(): Promise<void> {
    // A request that arrives while others are being admitted in the same turn of the event loop joins the first step.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.streams.size > 0 && !this.closed) await this.step();
    this.loop = undefined;
    if (this.streams.size > 0 && !this.closed) this.loop = this.run();
  }

  private async step(): Promise<void> {
    const scheduled = this.scheduler.schedule();
    const batch = layOutStep(scheduled, this.options.executor.blockSize);
    const rows = samplingRows(
      batch.sampled,
      (sequence) => this.streams.get(sequence)!.seed,
      this.options.executor.vocabSize,
    );
    let result: StepResult;
    try {
      result = await this.options.executor.execute(batch, rows);
    } catch (error) {
      // The step's requests fail; those that still wait may work (a smaller batch may fit where this one did not).
      for (const { sequence } of scheduled) {
        const stream = this.streams.get(sequence);
        if (!stream) continue;
        stream.events.fail(error);
        this.release(stream);
      }
      return;
    }
    this.steps++;
    for (const { sequence, count } of scheduled) {
      if (sequence.state === 'running') sequence.computed += count;
    }
    batch.sampled.forEach((sequence, row) => {
      const stream = this.streams.get(sequence);
      if (stream) this.accept(stream, result.tokens[row]!, this.logprobsOf(stream, result, row));
    });
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

  /** Takes one drawn token into its stream. */
  private accept(stream: Stream, token: number, logprobs: PositionLogprobs | undefined): void {
    const { sequence } = stream;
    this.generatedTokens++;
    if (stream.endTokens.has(token)) {
      // The end token is counted, as every server of this kind does, but it is no text.
      sequence.tokens.push(token);
      this.finish(stream, 'stop', undefined, true);
      return;
    }
    sequence.tokens.push(token);
    stream.pendingTokens.push(token);
    if (logprobs) stream.pendingLogprobs.push(logprobs);
    const { text, stop } = stream.stops.push(stream.decoder.push(token));
    if (text.length > 0) this.emit(stream, text);
    if (stop !== undefined) this.finish(stream, 'stop', stop, false);
    else if (sequence.outputLength >= sequence.request.maxTokens) this.finish(stream, 'length', undefined, true);
  }

  private emit(stream: Stream, text: string): void {
    const logprobs = stream.sequence.request.logprobs === undefined ? undefined : stream.pendingLogprobs;
    stream.events.push({ type: 'token', text, tokens: stream.pendingTokens, logprobs });
    stream.pendingTokens = [];
    stream.pendingLogprobs = [];
  }

  private finish(stream: Stream, finishReason: FinishReason, stop: string | undefined, emitHeld: boolean): void {
    const { sequence } = stream;
    if (emitHeld) {
      const last = stream.stops.push(stream.decoder.flush());
      const text = last.text + (last.stop === undefined ? stream.stops.flush() : '');
      if (text.length > 0 || stream.pendingTokens.length > 0) this.emit(stream, text);
    }
    stream.events.push({
      type: 'done',
      finishReason,
      stop,
      usage: { promptTokens: sequence.promptLength, completionTokens: sequence.outputLength, cachedTokens: 0 },
    });
    stream.events.end();
    this.release(stream);
  }
}
