import type { Sum } from '@largeforge/engine';
import type { AnswerBatch } from './answer-batch.js';

/**
 * Metrics of tokens: the entropy of what the model would say, over all answers, and how often it would have said the
 * very token, over the first `imitated` answers.
 */
export function tokenFigures(
  { cuSeqlens, weights, labels, answers }: AnswerBatch,
  entropy: ArrayLike<number>,
  argmax: ArrayLike<number>,
  imitated: number,
): { readonly entropy: Sum; readonly mean_token_accuracy: Sum } {
  const all = { sum: 0, weight: 0 };
  const correct = { sum: 0, weight: 0 };
  for (let answer = 0; answer < answers; answer++) {
    for (let t = cuSeqlens[answer] as number; t < (cuSeqlens[answer + 1] as number); t++) {
      if (weights[t] === 0) continue;
      all.sum += entropy[t] as number;
      all.weight++;
      if (answer >= imitated) continue;
      if (argmax[t] === labels[t]) correct.sum++;
      correct.weight++;
    }
  }
  return { entropy: all, mean_token_accuracy: correct };
}
