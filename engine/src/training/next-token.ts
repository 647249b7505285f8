import type { CausalLanguageModel } from '../models/model.js';
import { scope } from '../tensor/scope.js';
import type { Objective, Sum } from './objective.js';
import { ignoredLabel, type TokenBatch, type TokenRow, tokenBatch } from './token-batch.js';

/**
 * Next-token cross-entropy over the targets of rows: supervised fine-tuning, and pre-training when every token is a
 * target.
 */
export function nextTokenObjective(
  model: CausalLanguageModel,
  options: { labelSmoothing?: number } = {},
): Objective<TokenRow, TokenBatch> {
  const { labelSmoothing = 0 } = options;
  return {
    name: 'next-token',
    collate: tokenBatch,
    weight: (batch) => batch.targets,
    tokens: (batch) => batch.tokens.length,
    loss(batch, { scale, forward }) {
      const hidden = model.hidden(batch, forward);
      const { nll } = model.crossEntropy(hidden, batch.labels, { gradScale: scale, labelSmoothing });
      return { values: nll, fused: true };
    },
    async evaluate(batch) {
      const { nll, argmax } = scope(() => {
        const result = model.crossEntropy(model.hidden(batch), batch.labels, { outputs: { argmax: true } });
        return { nll: result.nll, argmax: result.argmax! };
      });
      const [losses, best] = await Promise.all([nll.floats(), argmax.ints()]);
      nll.dispose();
      argmax.dispose();
      return { loss: sumOf(losses, batch), accuracy: correct(best, batch) };
    },
  };
}

function sumOf(losses: Float32Array, batch: TokenBatch): Sum {
  return { sum: losses.reduce((sum, loss) => sum + loss, 0), weight: batch.targets };
}

function correct(best: Int32Array, batch: TokenBatch): Sum {
  let sum = 0;
  for (const [t, label] of batch.labels.entries()) if (label !== ignoredLabel && best[t] === label) sum++;
  return { sum, weight: batch.targets };
}
