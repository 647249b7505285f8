import { type LossName, weightedLoss } from '../losses/batch-loss.js';
import { divergence } from '../losses/divergence.js';
import type { PairMethod } from '../pairs.js';
import type { DpoSettings } from './options.js';

/** DPO (Rafailov et al. 2023, arXiv 2305.18290) and what came of it: one of TRL's losses, or a weighted sum of several. */
export function dpoMethod(settings: DpoSettings): PairMethod {
  const { beta, labelSmoothing, discopopTau, fDivergence, fAlpha, ldAlpha } = settings;
  const terms = lossTerms(settings);
  const loss = weightedLoss(terms);
  const weights = { beta, labelSmoothing, discopopTau, divergence: divergence(fDivergence, fAlpha) };
  return {
    name: `dpo ${JSON.stringify({ terms, beta, labelSmoothing, discopopTau, fDivergence, fAlpha, ldAlpha })}`,
    average: false,
    learnPrompts: false,
    ...(ldAlpha === undefined ? {} : { tailWeight: ldAlpha }),
    judge(figures) {
      const reward = (logp: number, reference: number) => beta * (logp - reference);
      return {
        ...loss(figures, weights),
        rewards: {
          chosen: figures.chosen.map((logp, i) => reward(logp, figures.referenceChosen[i] as number)),
          rejected: figures.rejected.map((logp, i) => reward(logp, figures.referenceRejected[i] as number)),
        },
      };
    },
  };
}

/** The losses with their weights; 1 each unless given. */
export function lossTerms({ loss, lossWeights }: Pick<DpoSettings, 'loss' | 'lossWeights'>) {
  const names: readonly LossName[] = typeof loss === 'string' ? [loss] : loss;
  return names.map((name, i) => ({ name, weight: lossWeights?.[i] ?? 1 }));
}
