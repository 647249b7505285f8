import { sigmoid } from '../losses/pair-losses.js';

export const ktoLosses = ['kto', 'apo_zero_unpaired'] as const;

export interface KtoSettings {
  readonly loss: (typeof ktoLosses)[number];
  readonly beta: number;
  readonly desirableWeight: number;
  readonly undesirableWeight: number;
}

/** Log-ratios of answers, ln p(y|x) - ln p_ref(y|x), and how far the model is from the reference on other answers. */
export interface KtoFigures {
  readonly ratios: readonly number[];
  readonly desirable: readonly boolean[];
  /** Estimate of the KL divergence, not below 0; a constant of the batch. */
  readonly kl: number;
}

/**
 * KTO, Ethayarajh et al. 2024 (arXiv 2402.01306), eq. 7: 1 - s(beta (u - kl)) for good answers, 1 - s(beta (kl - u)) for
 * bad ones. APO-zero, D'Oosterlinck et al. 2024 (arXiv 2408.06266), on single answers: the same without kl.
 * @returns the mean loss, and its derivatives by the log-ratios
 */
export function ktoLoss({ ratios, desirable, kl }: KtoFigures, settings: KtoSettings) {
  const { loss, beta, desirableWeight, undesirableWeight } = settings;
  const origin = loss === 'kto' ? kl : 0;
  const each = ratios.map((ratio, i) => {
    const sign = desirable[i] ? 1 : -1;
    const weight = desirable[i] ? desirableWeight : undesirableWeight;
    const x = sign * beta * (ratio - origin);
    return { loss: weight * sigmoid(-x), slope: -sign * beta * weight * sigmoid(x) * sigmoid(-x) };
  });
  return {
    loss: each.reduce((sum, answer) => sum + answer.loss, 0) / ratios.length,
    slopes: each.map(({ slope }) => slope / ratios.length),
  };
}
