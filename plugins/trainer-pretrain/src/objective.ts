import {
  type CausalLanguageModel,
  ignoredLabel,
  nextTokenObjective,
  type Objective,
  type Sum,
  scope,
  type TokenBatch,
  tokenBatch,
} from '@largeforge/engine';
import type { DomainRow } from './mixture.js';

interface DomainBatch extends TokenBatch {
  /** Of each document. */
  readonly domains: readonly number[];
}

/**
 * Prediction of the next token in documents of several domains. Held-out documents are measured all together and domain by
 * domain: `loss` and `loss/<domain>`, whose exponentials are perplexities.
 */
export function pretrainObjective(
  model: CausalLanguageModel,
  names: readonly string[],
): Objective<DomainRow, DomainBatch> {
  const { loss, weight, tokens } = nextTokenObjective(model);
  return {
    name: 'pretrain',
    collate: (rows) => ({ ...tokenBatch(rows), domains: rows.map(({ domain }) => domain) }),
    weight,
    tokens,
    loss,
    async evaluate(batch) {
      const nll = scope(() => model.crossEntropy(model.hidden(batch), batch.labels).nll);
      const losses = await nll.floats();
      nll.dispose();
      const all = { sum: 0, weight: 0 };
      const ofDomain = names.map(() => ({ sum: 0, weight: 0 }));
      for (const [document, domain] of batch.domains.entries()) {
        const own = ofDomain[domain] as { sum: number; weight: number };
        for (let t = batch.cuSeqlens[document] as number; t < (batch.cuSeqlens[document + 1] as number); t++) {
          if (batch.labels[t] === ignoredLabel) continue;
          for (const sum of [all, own]) {
            sum.sum += losses[t] as number;
            sum.weight++;
          }
        }
      }
      const named = ofDomain.map((sum, d): [string, Sum] => [`loss/${names[d]}`, sum]);
      return { loss: all, ...Object.fromEntries(names.length > 1 ? named : []) };
    },
  };
}
