import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import type { Operand } from '../device/recorder.js';
import { KvCache, type KvCacheType } from '../models/kv-cache.js';
import type { CausalLanguageModel } from '../models/model.js';
import { frequencyLength } from '../models/rope.js';
import { add } from '../ops/elementwise.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { generationErrors } from './errors.js';
import type { StepExecutor, StepResult } from './executor.js';
import { RepeatedSteps } from './repeated-steps.js';
import type { SamplingRows } from './sampling-rows.js';
import type { StepBatch } from './step-batch.js';

/** Share of the device's free memory that the key-value cache takes when nothing else is said. */
const CACHE_SHARE = 0.25;
const CACHE_LIMIT_BYTES = 2 ** 30;

/** The most rows of a step that is kept to be repeated: recording a wider one takes little of its time. */
const REPEATED_ROWS = 64;

export type CacheType = 'model' | 'int8';

export interface ModelExecutorOptions {
  /** Bytes of the key-value cache; by default a quarter of the free memory, 1 GiB at most, and what is needed at most. */
  readonly cacheBytes?: number;
  /** How keys and values are kept: in the model's own precision, or in 8 bits with a scale for each position and head. */
  readonly cacheType?: CacheType;
  /** Sequences that shall fit at their full length; the cache is no larger than that needs. */
  readonly maxSequences: number;
  /** Positions in a block of the cache; what the device prefers unless given. */
  readonly blockSize?: number;
  /** Streams are bit for bit the same alone and in company, at the price of slower attention over prompts. */
  readonly batchInvariant?: boolean;
}

/** A model of a mixture, and how much it counts. */
export interface MixedModel {
  readonly model: CausalLanguageModel;
  readonly weight: number;
}

interface Member extends MixedModel {
  readonly cache: KvCache;
}

/**
 * Runs the steps of a generation engine on a language model, or on several of one vocabulary as one: the next token is
 * drawn from the weighted geometric mean of their distributions (logarithmic pooling, Genest and Zidek 1986), which is the
 * weighted mean of their logits.
 */
export class ModelExecutor implements StepExecutor {
  readonly vocabSize: number;
  readonly blockSize: number;
  readonly blockCount: number;
  private readonly device: Device;
  private readonly members: readonly Member[];
  private readonly invariant: boolean;
  /** Absent where a step is more than the commands that one device is given. */
  private readonly repeated: RepeatedSteps | undefined;

  /**
   * Allocates the caches. Throws LF_ENGINE_CACHE_TOO_SMALL when not even one block fits.
   * @param models one, or a mixture: models on one device with as many tokens each
   */
  constructor(
    models: CausalLanguageModel | readonly MixedModel[],
    {
      cacheBytes,
      cacheType = 'model',
      maxSequences,
      batchInvariant = false,
      blockSize: wantedSize,
    }: ModelExecutorOptions,
  ) {
    const mixed = asMixture(models);
    const { device, config } = mixed[0]!.model;
    this.device = device;
    this.invariant = batchInvariant;
    const blockSize = wantedSize ?? device.properties.kvBlockSize;
    const blockBytes = mixed.reduce(
      (sum, { model }) => sum + KvCache.blockBytes(model.cacheShape, blockSize, cacheDType(model, cacheType)),
      0,
    );
    const wanted = Math.ceil(contextOf(mixed) / blockSize) * maxSequences;
    const budget = cacheBytes ?? Math.min(device.memory().free * CACHE_SHARE, CACHE_LIMIT_BYTES);
    const blocks = Math.min(wanted, Math.floor(budget / blockBytes));
    if (blocks < 1) throw generationErrors.CACHE_TOO_SMALL({ bytes: budget, needed: blockBytes });
    const total = mixed.reduce((sum, { weight }) => sum + weight, 0);
    this.members = mixed.map(({ model, weight }) => ({
      model,
      weight: weight / total,
      cache: model.createCache({ blocks, blockSize, dtype: cacheDType(model, cacheType) }),
    }));
    this.vocabSize = config.vocabSize;
    this.blockSize = blockSize;
    this.blockCount = blocks;
    const alone = mixed.every(({ model }) => model.settle === undefined);
    // Rotations that depend on the length are other tables from step to step.
    const fixed = this.keyVariant(1) === this.keyVariant(contextOf(mixed));
    this.repeated = alone && fixed ? new RepeatedSteps(device) : undefined;
  }

  /** Rotations that depend on the length make keys that do. */
  keyVariant(fullLength: number): string {
    return this.members
      .flatMap(({ model: { config } }) => [config.rope, config.localRope ?? config.rope])
      .map((rotation) => frequencyLength(rotation, fullLength))
      .join();
  }

  async execute(batch: StepBatch, sampling: SamplingRows): Promise<StepResult> {
    const rows = batch.outputRows.length;
    const top = sampling.topLogprobs ?? 0;
    const [own, ...others] = await Promise.allSettled([
      this.run(batch, sampling),
      ...this.members.map(({ model }) => model.settle?.()),
    ]);
    // Where several devices fail, the others do for want of the first: theirs is not the cause.
    for (const other of others) if (other.status === 'rejected') throw other.reason;
    if (own.status === 'rejected') throw own.reason;
    const words = own.value;
    const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
    return {
      tokens: words.subarray(0, rows),
      logprobs: floats.subarray(rows, 2 * rows),
      top,
      topTokens: words.subarray(2 * rows, (2 + top) * rows),
      topLogprobs: floats.subarray((2 + top) * rows, (2 + 2 * top) * rows),
    };
  }

  close(): void {
    this.repeated?.close();
    for (const { cache } of this.members) cache.dispose();
  }

  /** Queues a step; resolves to what it drew when it is done. */
  private async run(batch: StepBatch, sampling: SamplingRows): Promise<Int32Array> {
    const { device, repeated } = this;
    const key = repeated && stepKey(batch, sampling);
    if (key !== undefined) {
      const { tokens, positions, cuSeqlens, context, slots, blockTable, adapters, outputRows } = batch;
      const { rows, mask } = sampling;
      const inputs = { tokens, positions, cuSeqlens, context, slots, blockTable, adapters, outputRows, rows, mask };
      const result = repeated!.run(key, inputs, () => this.record(batch, sampling));
      const bytes = await device.read(result, 4 * result.shape[0]!);
      return new Int32Array(bytes.buffer);
    }
    using result = this.record(batch, sampling);
    return await result.ints();
  }

  /** Records a step; gives what it draws: of every row the token and its log probability, then those of the likeliest. */
  private record(batch: StepBatch, sampling: SamplingRows): Tensor {
    const rows = batch.outputRows.length;
    const top = sampling.topLogprobs ?? 0;
    return scope(() => {
      // Everything that comes back lies side by side, so that one copy brings it.
      const out = Tensor.empty(this.device, [Math.max(1, rows * (2 + 2 * top))], 'i32');
      const hidden = this.members.map(({ model, cache }) =>
        model.decode({ ...batch, invariant: this.invariant }, cache),
      );
      if (rows > 0) this.sample(this.logits(hidden), out, rows, top, sampling);
      return out;
    });
  }

  /** @param hidden of every member, [rows, its width]; gives [rows, vocabulary] */
  private logits(hidden: readonly Tensor[]): Tensor {
    const [first, ...others] = this.members.map(({ model, weight }, i) => ({ own: model.logits(hidden[i]!), weight }));
    if (others.length === 0) return first!.own;
    const scaled = { sum: first!.own, alpha: first!.weight };
    for (const { own, weight } of others) {
      scaled.sum = add(scaled.sum, own, { alpha: scaled.alpha, beta: weight });
      scaled.alpha = 1;
    }
    return scaled.sum;
  }

  private sample(logits: Tensor, out: Tensor, rows: number, top: number, sampling: SamplingRows): void {
    const { device } = this;
    const part = (start: number, shape: readonly number[], dtype: 'i32' | 'f32'): Operand => ({
      buffer: out.buffer,
      byteOffset: out.byteOffset + 4 * start,
      dtype,
      layout: 'strided',
      shape,
      strides: shape.length === 2 ? [shape[1]!, 1] : [1],
    });
    commands.sample(
      device.recorder,
      { topN: top },
      {
        logits,
        rows: Tensor.from(device, sampling.rows, [rows, sampling.rows.length / rows]),
        history: sampling.history && Tensor.from(device, sampling.history),
        mask: sampling.mask && Tensor.from(device, sampling.mask, [rows, sampling.mask.length / rows]),
        bias: sampling.bias && Tensor.from(device, sampling.bias, [rows, this.vocabSize]),
        tokens: part(0, [rows], 'i32'),
        logprob: part(rows, [rows], 'f32'),
        topTokens: top > 0 ? part(2 * rows, [rows, top], 'i32') : undefined,
        topLogprobs: top > 0 ? part((2 + top) * rows, [rows, top], 'f32') : undefined,
      },
    );
  }
}

const cacheDType = (model: CausalLanguageModel, type: CacheType): KvCacheType => (type === 'int8' ? 'i8' : model.dtype);

/** Equal for steps of which the commands differ in the arrays of batch and sampling alone; undefined for those that seldom recur. */
function stepKey(batch: StepBatch, { history, bias, mask, topLogprobs }: SamplingRows): string | undefined {
  const { tokens, context, outputRows, maxBlocks, maxNewTokens, adapters } = batch;
  if (tokens.length > REPEATED_ROWS || history || bias) return undefined;
  const lengths = [tokens.length, context.length, outputRows.length, maxBlocks, maxNewTokens, topLogprobs ?? -1];
  return `${lengths.join()}${adapters ? ' adapters' : ''}${mask ? ' mask' : ''}`;
}

/** A model alone is a mixture of one. */
export const asMixture = (models: CausalLanguageModel | readonly MixedModel[]): readonly MixedModel[] =>
  Array.isArray(models) ? models : [{ model: models as CausalLanguageModel, weight: 1 }];

/** Positions that every model of a mixture has. */
export const contextOf = (mixture: readonly MixedModel[]): number =>
  Math.min(...mixture.map(({ model }) => model.config.maxPositions));
