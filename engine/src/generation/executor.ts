import type { SamplingRows } from './sampling-rows.js';
import type { StepBatch } from './step-batch.js';

/** One drawn token for each of a step's output rows. */
export interface StepResult {
  /** [R] */
  readonly tokens: Int32Array;
  /** [R] log probability of each token, before penalties and temperature. */
  readonly logprobs: Float32Array;
  /** Log probabilities per row in `topTokens`. */
  readonly top: number;
  /** [R, top], best first. */
  readonly topTokens: Int32Array;
  readonly topLogprobs: Float32Array;
}

/**
 * Runs a step on a device: keys and values of the batch's tokens go to the cache, and a token is drawn for each output
 * row. One await a step; nothing but token ids (and log probabilities) comes back.
 */
export interface StepExecutor {
  readonly vocabSize: number;
  readonly blockSize: number;
  readonly blockCount: number;
  /**
   * Sequences for whose full lengths this differs have different keys for the same tokens; all are alike unless it is
   * there.
   */
  keyVariant?(fullLength: number): string;
  execute(batch: StepBatch, sampling: SamplingRows): Promise<StepResult>;
  close(): void;
}
