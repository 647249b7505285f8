import { logSigmoid, sigmoid } from '../losses/pair-losses.js';
import type { PairMethod } from '../pairs.js';

export const cpoLosses = ['sigmoid', 'hinge', 'ipo', 'simpo'] as const;

export interface CpoSettings {
  readonly loss: (typeof cpoLosses)[number];
  readonly beta: number;
  readonly labelSmoothing: number;
  /** Margin that SimPO asks for between rewards. */
  readonly simpoGamma: number;
  /** Weight of the cross-entropy of the chosen answers. */
  readonly cpoAlpha: number;
}

/**
 * CPO, Xu et al. 2024 (arXiv 2401.08417), eq. 3: a preference loss without a reference, and the cross-entropy of the
 * chosen answers. SimPO, Meng et al. 2024 (arXiv 2405.14734), eq. 6: mean log-probabilities and a margin.
 */
export function cpoMethod(settings: CpoSettings): PairMethod {
  const { loss, beta, labelSmoothing, simpoGamma, cpoAlpha } = settings;
  return {
    name: `cpo ${JSON.stringify({ loss, beta, labelSmoothing, simpoGamma, cpoAlpha })}`,
    average: loss === 'ipo' || loss === 'simpo',
    learnPrompts: false,
    judge({ chosen, rejected, chosenNll }) {
      const count = chosen.length;
      const pairs = chosen.map((logp, i) => marginLoss(logp - (rejected[i] as number), settings));
      return {
        loss: pairs.reduce((sum, pair) => sum + pair.loss, 0) / count + cpoAlpha * chosenNll,
        chosen: pairs.map(({ slope }) => slope / count),
        rejected: pairs.map(({ slope }) => -slope / count),
        nll: cpoAlpha,
        rewards: { chosen: chosen.map((logp) => beta * logp), rejected: rejected.map((logp) => beta * logp) },
        // As in TRL, a cross-entropy that does not count is told as 0.
        metrics: { nll_loss: cpoAlpha === 0 ? 0 : chosenNll },
      };
    },
  };
}

/** The loss of a pair, and its derivative by the margin between the log-probabilities. */
function marginLoss(margin: number, { loss, beta, labelSmoothing, simpoGamma }: CpoSettings) {
  switch (loss) {
    case 'sigmoid':
      return smoothed(beta * margin, beta, labelSmoothing);
    case 'simpo':
      return smoothed(beta * margin - simpoGamma, beta, labelSmoothing);
    case 'hinge':
      return margin * beta < 1 ? { loss: 1 - beta * margin, slope: -beta } : { loss: 0, slope: 0 };
    case 'ipo': {
      const error = margin - 1 / (2 * beta);
      return { loss: error ** 2, slope: 2 * error };
    }
  }
}

function smoothed(x: number, beta: number, e: number) {
  return {
    loss: -(1 - e) * logSigmoid(x) - e * logSigmoid(-x),
    slope: beta * (e * sigmoid(x) - (1 - e) * sigmoid(-x)),
  };
}
