import { type CausalLanguageModel, setAdapterEnabled, type Tensor, withoutTape } from '@largeforge/engine';
import type { AnswerBatch } from '../answers/answer-batch.js';
import { answerNll } from '../answers/read-back.js';

/** What answers are compared with: a model that is not trained. */
export interface Reference {
  /** Records -log p [T] of the labels; keeps nothing for a backward pass. */
  nll(batch: AnswerBatch): Tensor;
}

/** The model without its adapter: no second copy of the weights. */
export function adapterOff(model: CausalLanguageModel): Reference {
  return {
    nll(batch) {
      setAdapterEnabled(model, false);
      try {
        return withoutTape(() => answerNll(model, batch));
      } finally {
        setAdapterEnabled(model, true);
      }
    },
  };
}

/** Another model, or a copy of the one that is trained. */
export function frozenModel(model: CausalLanguageModel): Reference {
  return { nll: (batch) => withoutTape(() => answerNll(model, batch)) };
}
