import type { RandomKeys } from '../autograd/random.js';
import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import type { Linear } from '../nn/linear.js';
import type { Parameter } from '../nn/parameter.js';
import type { CrossEntropyOptions, CrossEntropyResult } from '../ops/loss.js';
import type { Tensor } from '../tensor/tensor.js';
import type { PackedBatch, PagedBatch } from './batch.js';
import type { DecoderConfig, EncoderConfig } from './config.js';
import type { PartialLayer } from './decoder-block.js';
import type { KvCache, KvCacheOptions, KvShape } from './kv-cache.js';
import type { ModelLinears } from './linears.js';

/** Which blocks are computed again in the backward pass: all, none, every n-th from the first on, or the first n. */
export type CheckpointPolicy = boolean | { readonly every: number } | { readonly first: number };

export function isCheckpointed(policy: CheckpointPolicy | undefined, block: number): boolean {
  if (typeof policy !== 'object') return policy === true;
  return 'every' in policy ? block % policy.every === 0 : block < policy.first;
}

/** How a forward pass runs while training. */
export interface ForwardOptions {
  /** Which blocks keep only their input and are computed again in the backward pass. */
  readonly checkpointing?: CheckpointPolicy;
  /** Keys of dropout masks. Without them nothing is dropped. */
  readonly dropout?: RandomKeys;
  /**
   * NEFTune (Jain et al. 2023): uniform noise of magnitude alpha / sqrt(length * hiddenSize) on the embeddings of each
   * sequence.
   */
  readonly noise?: { readonly alpha: number; readonly keys: RandomKeys };
}

/** Hidden states of a batch, each [T, hiddenSize]. */
export interface HiddenStates {
  /** After the final norm. */
  readonly last: Tensor;
  /** Of the layers that were asked for, in their order. */
  readonly layers: readonly Tensor[];
}

interface Model extends Disposable {
  readonly device: Device;
  /** Precision of activations and matrices. */
  readonly dtype: FloatDType;
  /** Every parameter by its Hugging Face name; a tied head is not repeated. Adapters are not among them. */
  parameters(): Map<string, Parameter>;
  /** What an optimiser updates: trainable parameters of the model and of its adapter, by the names they are saved under. */
  trainableParameters(): Map<string, Parameter>;
  /** The linear layers, by their Hugging Face module names: what adapters attach to. */
  readonly linears: ModelLinears;
  /** Makes every parameter trainable (true) or frozen (false). */
  setTrainable(on: boolean): void;
  /** Forgets all gradients. */
  zeroGrad(): void;
  /** Builds now what is otherwise built when first needed (packed weights). `backward` also what backward passes need. */
  prepare(options?: { backward?: boolean }): void;
  dispose(): void;
}

/** A part of a layer: what `CausalLanguageModel.layerParts` gives. */
export interface LayerPart {
  /** The linear layers that read the input which this part leaves; none where the layer ends. */
  readonly feeds: readonly Linear[];
  /** What goes in stays the caller's; some of it may be in what comes out. */
  run(state: PartialLayer, batch: PackedBatch): PartialLayer;
}

export interface CausalLanguageModel extends Model {
  readonly kind: 'causal';
  readonly config: DecoderConfig;
  /** Final-norm hidden states [T, hiddenSize] of sequences laid end to end. */
  hidden(batch: PackedBatch, options?: ForwardOptions): Tensor;
  /**
   * The same, with the residual stream after some layers, counted from 1 (`hidden_states` of transformers: that of the
   * last layer is the one after the final norm).
   */
  hiddenStates(batch: PackedBatch, layers: readonly number[], options?: ForwardOptions): HiddenStates;
  /** Embeddings of a batch, f32 [T, hiddenSize]: the residual stream that enters the first layer. */
  embedded(batch: PackedBatch): Tensor;
  /** The residual stream [T, hiddenSize] after one layer. That which goes in stays the caller's. */
  runLayer(layer: number, residual: Tensor, batch: PackedBatch): Tensor;
  /**
   * One layer in parts, each of which ends where linear layers read one input: run one after another from a residual stream
   * alone they are `runLayer`, and weights may change between them. Not for layers with experts.
   */
  layerParts(layer: number): readonly LayerPart[];
  /** The final norm of a residual stream that passed every layer: with `embedded` and `runLayer`, what `hidden` does at once. */
  normalized(residual: Tensor): Tensor;
  /** Cross-entropy of the head's logits of `hidden` rows against labels [T]; -100 is ignored. Labels are not shifted. */
  crossEntropy(hidden: Tensor, labels: Tensor | Int32Array, options?: CrossEntropyOptions): CrossEntropyResult;
  /** Logits f32 [R, vocabSize] of hidden rows [R, hiddenSize]. */
  logits(hiddenRows: Tensor): Tensor;
  /** What a cache of keys and values has of each position on one device. */
  readonly cacheShape: KvShape;
  /** A cache for `decode`. */
  createCache(options: KvCacheOptions): KvCache;
  /** Of a model on several devices: resolves when the others than `device` did what was recorded, rejects if one failed. */
  settle?(): Promise<void>;
  /**
   * Computes new tokens over a cache, writes their keys and values to it, and returns the final-norm hidden states of
   * `batch.outputRows`, [R, hiddenSize].
   */
  decode(batch: PagedBatch, cache: KvCache): Tensor;
}

export interface EncoderModel extends Model {
  readonly kind: 'encoder';
  readonly config: EncoderConfig;
  /** Last hidden states f32 [T, hiddenSize] of sequences laid end to end, each seeing only itself. */
  hidden(batch: PackedBatch, options?: ForwardOptions): Tensor;
  /** Mean of the hidden states of each sequence, f32 [B, hiddenSize], divided by its norm unless `normalize` is false. */
  embed(batch: PackedBatch, options?: { normalize?: boolean }): Tensor;
}

export type LanguageModel = CausalLanguageModel | EncoderModel;
