import { type CausalLanguageModel, scope, type Tensor } from '@largeforge/engine';
import type { AnswerBatch } from './answer-batch.js';

/** Of each position, [T]. */
export interface AnswerResults {
  /** f32: -log p of the label; 0 where there is none. */
  readonly nll: Tensor;
  /** f32 */
  readonly entropy: Tensor;
  /** i32: the likeliest token. */
  readonly argmax: Tensor;
}

/** Records the cross-entropy of answers whose hidden states [T, D] are given. */
export function answerResults(model: CausalLanguageModel, hidden: Tensor, batch: AnswerBatch): AnswerResults {
  const outputs = { entropy: true, argmax: true };
  const { nll, entropy, argmax } = model.crossEntropy(hidden, batch.labels, { outputs });
  return { nll, entropy: entropy as Tensor, argmax: argmax as Tensor };
}

/** Records -log p [T] of the labels; 0 where there is none. */
export function answerNll(model: CausalLanguageModel, batch: AnswerBatch): Tensor {
  return scope(() => model.crossEntropy(model.hidden(batch), batch.labels).nll);
}
