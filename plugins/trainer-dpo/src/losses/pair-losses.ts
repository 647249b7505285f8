import type { Divergence } from './divergence.js';

/** How a loss weighs pairs. */
export interface LossSettings {
  /** Strength of the pull towards the reference; the regularisation of IPO. */
  readonly beta: number;
  /** Share of pairs whose labels are taken to be flipped (exo_pair, robust, aot, aot_unpaired). */
  readonly labelSmoothing: number;
  /** Temperature of the blend of DiscoPOP. */
  readonly discopopTau: number;
  /** How far from the reference a log-ratio is, in the losses that are generalised so. */
  readonly divergence: Divergence;
}

/** One pair: log-ratios ln p(y|x) - ln p_ref(y|x), summed over the answer's tokens, and the numbers of those tokens. */
export interface Pair {
  readonly chosen: number;
  readonly rejected: number;
  readonly chosenTokens: number;
  readonly rejectedTokens: number;
}

/** A loss and its derivatives with respect to the log-probability of either answer. */
export interface PairGradient {
  readonly loss: number;
  readonly chosen: number;
  readonly rejected: number;
}

/** The loss of one pair, whatever else is in the batch. The equations write u and v for the two log-ratios. */
export type PairLoss = (pair: Pair, settings: LossSettings) => PairGradient;

/** 1 / (1 + e^-x), exact at both ends. */
export function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

/** ln sigmoid(x), without overflow for any x. */
export function logSigmoid(x: number): number {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}

/** A loss of the margin u - v alone, from its value and slope there. */
const ofMargin = (loss: number, slope: number): PairGradient => ({ loss, chosen: slope, rejected: -slope });

/** DPO, Rafailov et al. 2023 (arXiv 2305.18290), eq. 7: -ln sigmoid(beta (u - v)). */
export const sigmoidLoss: PairLoss = ({ chosen, rejected }, { beta }) => {
  const x = beta * (chosen - rejected);
  return ofMargin(-logSigmoid(x), -beta * sigmoid(-x));
};

/** SLiC, Zhao et al. 2023 (arXiv 2305.10425), normalised by the reference: max(0, 1 - beta (u - v)). */
export const hingeLoss: PairLoss = ({ chosen, rejected }, { beta }) => {
  const slack = 1 - beta * (chosen - rejected);
  return slack > 0 ? ofMargin(slack, -beta) : ofMargin(0, 0);
};

/** IPO, Azar et al. 2023 (arXiv 2310.12036), eq. 17, on means over tokens as its authors ran it. */
export const ipoLoss: PairLoss = ({ chosen, rejected, chosenTokens, rejectedTokens }, { beta }) => {
  const [n, m] = [Math.max(chosenTokens, 1), Math.max(rejectedTokens, 1)];
  const error = chosen / n - rejected / m - 1 / (2 * beta);
  return { loss: error ** 2, chosen: (2 * error) / n, rejected: (-2 * error) / m };
};

/**
 * EXO, Ji et al. 2024 (arXiv 2402.00856), eq. 16 with two answers: KL of (q, 1 - q), q = sigmoid(beta (u - v)), from
 * (1 - e, e). Needs label smoothing e above 0.
 */
export const exoPairLoss: PairLoss = ({ chosen, rejected }, { beta, labelSmoothing }) => {
  const x = beta * (chosen - rejected);
  const [q, other] = [sigmoid(x), sigmoid(-x)];
  const won = logSigmoid(x) - Math.log1p(-labelSmoothing);
  const lost = logSigmoid(-x) - Math.log(labelSmoothing);
  return ofMargin(q * won + other * lost, beta * q * other * (won - lost));
};

/** NCA, Chen et al. 2024 (arXiv 2402.05369): -ln s(bu) - ln s(-bu)/2 - ln s(-bv)/2. */
export const ncaPairLoss: PairLoss = ({ chosen, rejected }, { beta }) => {
  const [a, b] = [beta * chosen, beta * rejected];
  return {
    loss: -logSigmoid(a) - 0.5 * logSigmoid(-a) - 0.5 * logSigmoid(-b),
    chosen: beta * (0.5 * sigmoid(a) - sigmoid(-a)),
    rejected: 0.5 * beta * sigmoid(b),
  };
};

/** Robust DPO, Chowdhury et al. 2024 (arXiv 2403.00409): unbiased when a share e of the labels is flipped. */
export const robustLoss: PairLoss = ({ chosen, rejected }, { beta, labelSmoothing: e }) => {
  const x = beta * (chosen - rejected);
  const loss = (-(1 - e) * logSigmoid(x) + e * logSigmoid(-x)) / (1 - 2 * e);
  return ofMargin(loss, (-beta * ((1 - e) * sigmoid(-x) + e * sigmoid(x))) / (1 - 2 * e));
};

/** BCO, Jung et al. 2024 (arXiv 2404.04656), on pairs and without its running shift: -ln s(bu) - ln s(-bv). */
export const bcoPairLoss: PairLoss = ({ chosen, rejected }, { beta }) => {
  const [a, b] = [beta * chosen, beta * rejected];
  return { loss: -logSigmoid(a) - logSigmoid(-b), chosen: -beta * sigmoid(-a), rejected: beta * sigmoid(b) };
};

/** SPPO, Wu et al. 2024 (arXiv 2405.00675), eq. 4.7 with certain winners: (u - 1/2b)^2 + (v + 1/2b)^2. */
export const sppoHardLoss: PairLoss = ({ chosen, rejected }, { beta }) => {
  const [a, b] = [chosen - 0.5 / beta, rejected + 0.5 / beta];
  return { loss: a ** 2 + b ** 2, chosen: 2 * a, rejected: 2 * b };
};

/** APO-zero, D'Oosterlinck et al. 2024 (arXiv 2408.06266), eq. 7: 1 - s(bu) + s(bv). */
export const apoZeroLoss: PairLoss = ({ chosen, rejected }, { beta }) => {
  const [a, b] = [beta * chosen, beta * rejected];
  return {
    loss: sigmoid(-a) + sigmoid(b),
    chosen: -beta * sigmoid(a) * sigmoid(-a),
    rejected: beta * sigmoid(b) * sigmoid(-b),
  };
};

/** APO-down, of the same paper, eq. 8: s(bu) + 1 - s(b (u - v)). */
export const apoDownLoss: PairLoss = ({ chosen, rejected }, { beta }) => {
  const [a, x] = [beta * chosen, beta * (chosen - rejected)];
  const slope = beta * sigmoid(x) * sigmoid(-x);
  return { loss: sigmoid(a) + sigmoid(-x), chosen: beta * sigmoid(a) * sigmoid(-a) - slope, rejected: slope };
};

/** DiscoPOP, Lu et al. 2024 (arXiv 2406.08414), eq. 5: (1 - m) (-ln s(x)) + m e^-x, m = s(x / tau), x = beta (u - v). */
export const discopopLoss: PairLoss = ({ chosen, rejected }, { beta, discopopTau: tau }) => {
  const x = beta * (chosen - rejected);
  const [m, rest] = [sigmoid(x / tau), sigmoid(-x / tau)];
  const [logistic, exponential] = [-logSigmoid(x), Math.exp(-x)];
  const slope = ((m * rest) / tau) * (exponential - logistic) - rest * sigmoid(-x) - m * exponential;
  return ofMargin(rest * logistic + m * exponential, beta * slope);
};

/** DPO on means over tokens (Tulu 3, Lambert et al. 2024, arXiv 2411.15124): -ln sigmoid(beta (u/n - v/m)). */
export const sigmoidNormLoss: PairLoss = ({ chosen, rejected, chosenTokens, rejectedTokens }, { beta }) => {
  const [n, m] = [Math.max(chosenTokens, 1), Math.max(rejectedTokens, 1)];
  const x = beta * (chosen / n - rejected / m);
  const slope = -beta * sigmoid(-x);
  return { loss: -logSigmoid(x), chosen: slope / n, rejected: -slope / m };
};
