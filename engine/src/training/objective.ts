import type { Device } from '../device/device.js';
import type { ForwardOptions } from '../models/model.js';
import type { Parameter } from '../nn/parameter.js';
import type { Tensor } from '../tensor/tensor.js';

/** What the loop needs of a model. */
export interface Trainable {
  readonly device: Device;
  /** Of a model with layers: how many, for learning rates by layer. */
  readonly config?: { readonly numLayers: number };
  /** What the optimiser updates, by the names that are saved. */
  trainableParameters(): ReadonlyMap<string, Parameter>;
  zeroGrad(): void;
}

/** A sum over a batch and what it is to be divided by. */
export interface Sum {
  readonly sum: number;
  readonly weight: number;
}

export interface LossContext {
  /**
   * Gradients are those of scale * sum(loss): one over the weight of the whole optimiser step, so that it does not
   * matter how rows are spread over micro-batches.
   */
  readonly scale: number;
  /** Dropout, noise and recomputation: to be passed on to the model. */
  readonly forward: ForwardOptions;
}

/** The loss of a batch: recorded whole, or with a part that the host computes. */
export type Loss = RecordedLoss | HostLoss;

/** A loss that the device computes from beginning to end. */
export interface RecordedLoss {
  /** f32 of any shape, whose elements add up to the loss of the batch, neither scaled nor divided. */
  readonly values: Tensor;
  /**
   * Whether recording `values` has recorded their gradients too, with `scale` (the fused cross-entropy). Otherwise the
   * loop starts the backward pass from `values`.
   */
  readonly fused: boolean;
  /** Further sums over the batch, f32 [1], shown beside the loss. Every micro-batch gives the same names. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
}

/**
 * A loss of few numbers that depend on each other, such as log-probabilities of whole answers: the forward pass is
 * recorded, the host computes the loss and its gradient from what the device read back, and the backward pass follows.
 */
export interface HostLoss {
  /** f32, on the tape: what the backward pass starts from. */
  readonly values: Tensor;
  /** What `finish` is given, in this order: f32 and i32 tensors. They may hold `values`. */
  readonly reads: readonly Tensor[];
  finish(read: readonly (Float32Array | Int32Array)[]): HostResult;
}

export interface HostResult {
  /** Sum over the batch, neither scaled nor divided. */
  readonly loss: number;
  /** Gradient of the loss with respect to each of `values`, times `scale`. */
  readonly gradient: Float32Array;
  /** Further figures of the batch, shown beside the loss; each is divided by its own weight. */
  readonly metrics: Readonly<Record<string, Sum>>;
}

/** Which micro-batch of a run it is, both from 0. */
export interface MicroBatch {
  readonly step: number;
  readonly index: number;
}

/**
 * What a trainer adds to the loop: how rows become a batch, and the loss of a batch.
 * @typeParam Row a row of the data
 * @typeParam Batch rows laid out for the model, on the host
 */
export interface Objective<Row, Batch> {
  readonly name: string;
  /** What the loss itself has to learn, beside the model: by the names that checkpoints hold. */
  readonly parameters?: ReadonlyMap<string, Parameter>;
  /**
   * Puts other rows in the place of those of a micro-batch, such as what the model itself says now. They must follow from
   * the weights and `at` alone, so that a run that is resumed gets the same ones.
   */
  prepare?(rows: readonly Row[], at: MicroBatch): Promise<readonly Row[]>;
  collate(rows: readonly Row[]): Batch;
  /** What the loss of a batch is divided by: its target tokens, its pairs ... Known before the forward pass. */
  weight(batch: Batch): number;
  /** Tokens that the batch puts through the model, for the throughput. */
  tokens(batch: Batch): number;
  /** Records the forward pass. Runs inside a scope, on a tape. */
  loss(batch: Batch, context: LossContext): Loss;
  /** Sums over a batch of held-out rows, `loss` among them. Nothing is dropped out and no tape is kept. */
  evaluate(batch: Batch): Promise<{ readonly loss: Sum } & Readonly<Record<string, Sum>>>;
}
