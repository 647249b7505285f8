import { upload } from '../models/batch.js';
import type { CausalLanguageModel } from '../models/model.js';
import { scope } from '../tensor/scope.js';
import type { Objective, Sum } from './objective.js';
import { ignoredLabel, type TokenBatch, type TokenRow, tokenBatch } from './token-batch.js';
import { crossEntropyLoss, type TokenLoss } from './token-loss.js';

/**
 * Prediction of the targets of rows: supervised fine-tuning, and pre-training when every token is a target. Held-out
 * rows are measured by cross-entropy whatever the loss, so that runs with different losses can be compared.
 */
export function nextTokenObjective(
  model: CausalLanguageModel,
  options: {
    /** Cross-entropy unless given. */
    readonly loss?: TokenLoss;
    /** Names the loss with its options: a run is resumed only by a run of the same name. */
    readonly name?: string;
  } = {},
): Objective<TokenRow, TokenBatch> {
  const { loss = crossEntropyLoss(), name = 'next-token' } = options;
  return {
    name,
    collate: tokenBatch,
    weight: (batch) => loss.weight?.(batch) ?? batch.targets,
    tokens: (batch) => batch.tokens.length,
    loss(batch, { scale, forward }) {
      const hidden = model.hidden(batch, forward);
      const labels = upload(model.device, batch.labels);
      const crossEntropy = (wanted = {}) => model.crossEntropy(hidden, labels, wanted);
      return loss.compute({ hidden, labels, batch, scale, crossEntropy });
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
