import type { PairLogps } from '../pairs.js';
import * as pairs from './pair-losses.js';

/** The mean loss of a batch, and its derivatives with respect to each log-probability. */
export interface BatchGradient {
  readonly loss: number;
  readonly chosen: number[];
  readonly rejected: number[];
}

/** A loss of a whole batch: in aot and sft, pairs are not independent of each other. */
export type BatchLoss = (batch: PairLogps, settings: pairs.LossSettings) => BatchGradient;

/** The mean of a loss of single pairs, of their log-ratios. */
function meanOf(loss: pairs.PairLoss): BatchLoss {
  return (batch, settings) => {
    const count = batch.chosen.length;
    const each = batch.chosen.map((logp, i) =>
      loss(
        {
          chosen: logp - at(batch.referenceChosen, i),
          rejected: at(batch.rejected, i) - at(batch.referenceRejected, i),
          chosenTokens: at(batch.chosenTokens, i),
          rejectedTokens: at(batch.rejectedTokens, i),
        },
        settings,
      ),
    );
    return {
      loss: each.reduce((sum, pair) => sum + pair.loss, 0) / count,
      chosen: each.map((pair) => pair.chosen / count),
      rejected: each.map((pair) => pair.rejected / count),
    };
  };
}

/** The same of a loss that takes scores by the divergence of the settings for log-ratios. */
function ofScores(loss: pairs.PairLoss): BatchLoss {
  return meanOf((pair, settings) => {
    const { divergence } = settings;
    const [chosen, rejected] = [divergence(pair.chosen), divergence(pair.rejected)];
    const of = loss({ ...pair, chosen: chosen.score, rejected: rejected.score }, settings);
    return { loss: of.loss, chosen: of.chosen * chosen.slope, rejected: of.rejected * rejected.slope };
  });
}

/**
 * AOT, Melnyk et al. 2024 (arXiv 2406.05882): the sorted margins of the model should lie above the sorted margins of the
 * reference, so that one distribution dominates the other.
 */
const aotLoss: BatchLoss = (batch, settings) => {
  const margins = batch.chosen.map((logp, i) => logp - at(batch.rejected, i));
  const reference = batch.referenceChosen.map((logp, i) => logp - at(batch.referenceRejected, i));
  const { loss, upper } = dominance(margins, reference, settings);
  return { loss, chosen: upper, rejected: upper.map((slope) => -slope) };
};

/** AOT without pairs, of the same paper: sorted log-ratios of chosen answers above those of rejected ones. */
const aotUnpairedLoss: BatchLoss = (batch, settings) => {
  const chosen = batch.chosen.map((logp, i) => logp - at(batch.referenceChosen, i));
  const rejected = batch.rejected.map((logp, i) => logp - at(batch.referenceRejected, i));
  const { loss, upper, lower } = dominance(chosen, rejected, settings);
  return { loss, chosen: upper, rejected: lower };
};

/** Smoothed logistic loss between the order statistics of two samples; derivatives in the samples' own order. */
function dominance(above: readonly number[], below: readonly number[], settings: pairs.LossSettings) {
  const { beta, labelSmoothing: e } = settings;
  const count = above.length;
  const [first, second] = [ascending(above), ascending(below)];
  const upper = new Array<number>(count).fill(0);
  const lower = new Array<number>(count).fill(0);
  let loss = 0;
  for (let rank = 0; rank < count; rank++) {
    const [i, j] = [at(first, rank), at(second, rank)];
    const x = beta * (at(above, i) - at(below, j));
    loss -= ((1 - e) * pairs.logSigmoid(x) + e * pairs.logSigmoid(-x)) / count;
    const slope = (beta * (e * pairs.sigmoid(x) - (1 - e) * pairs.sigmoid(-x))) / count;
    upper[i] = slope;
    lower[j] = -slope;
  }
  return { loss, upper, lower };
}

/** Cross-entropy of the chosen answers, a mean over all their tokens in the batch. */
const sftLoss: BatchLoss = ({ chosen, chosenTokens }) => {
  const tokens = chosenTokens.reduce((sum, count) => sum + count, 0);
  return {
    loss: -chosen.reduce((sum, logp) => sum + logp, 0) / tokens,
    chosen: chosen.map(() => -1 / tokens),
    rejected: chosen.map(() => 0),
  };
};

/** The losses by the names that TRL gives them. */
export const batchLosses = {
  sigmoid: ofScores(pairs.sigmoidLoss),
  hinge: ofScores(pairs.hingeLoss),
  ipo: ofScores(pairs.ipoLoss),
  exo_pair: ofScores(pairs.exoPairLoss),
  nca_pair: meanOf(pairs.ncaPairLoss),
  robust: ofScores(pairs.robustLoss),
  bco_pair: meanOf(pairs.bcoPairLoss),
  sppo_hard: meanOf(pairs.sppoHardLoss),
  aot: aotLoss,
  aot_unpaired: aotUnpairedLoss,
  apo_zero: meanOf(pairs.apoZeroLoss),
  apo_down: meanOf(pairs.apoDownLoss),
  discopop: ofScores(pairs.discopopLoss),
  sft: sftLoss,
  sigmoid_norm: ofScores(pairs.sigmoidNormLoss),
} as const satisfies Record<string, BatchLoss>;

export type LossName = keyof typeof batchLosses;

/** A weighted sum of losses. */
export function weightedLoss(terms: readonly { readonly name: LossName; readonly weight: number }[]): BatchLoss {
  return (batch, settings) => {
    const parts = terms.map(({ name, weight }) => ({ weight, ...batchLosses[name](batch, settings) }));
    const sum = (of: (part: BatchGradient) => number) =>
      parts.reduce((total, part) => total + part.weight * of(part), 0);
    return {
      loss: sum((part) => part.loss),
      chosen: batch.chosen.map((_, i) => sum((part) => at(part.chosen, i))),
      rejected: batch.rejected.map((_, i) => sum((part) => at(part.rejected, i))),
    };
  };
}

function ascending(values: readonly number[]): number[] {
  return values.map((_, i) => i).sort((i, j) => at(values, i) - at(values, j));
}

function at(values: readonly number[], index: number): number {
  return values[index] as number;
}
