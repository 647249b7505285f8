import { createHash } from 'node:crypto';

/** An arm of an experiment, and the share of the traffic that it gets. */
export interface Arm {
  readonly name: string;
  readonly share: number;
}

/**
 * The arm of a unit (a conversation, a user, a query): always the same one, by a hash of the experiment and the unit, so
 * that nothing needs to be kept. Shares need not sum to 1.
 */
export function armOf(experiment: string, unit: string, arms: readonly Arm[]): string {
  const digest = createHash('sha256').update(`${experiment}\n${unit}`).digest();
  const total = arms.reduce((sum, { share }) => sum + share, 0);
  let at = (digest.readUIntBE(0, 6) / 2 ** 48) * total;
  for (const { name, share } of arms) {
    if (at < share) return name;
    at -= share;
  }
  return arms.at(-1)!.name;
}

/** Scores of an arm: how many, their mean, and the variance of a score. */
export interface ArmFigures {
  readonly count: number;
  readonly mean: number;
  readonly variance: number;
}

export function figuresOf(scores: readonly number[]): ArmFigures {
  const count = scores.length;
  const mean = scores.reduce((sum, score) => sum + score, 0) / count;
  const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0);
  return { count, mean, variance: count > 1 ? squares / (count - 1) : Number.NaN };
}

export interface Comparison {
  /** Mean of the second less that of the first. */
  readonly difference: number;
  /** 95 % interval of the difference. */
  readonly interval: readonly [number, number];
  /** Two-sided: how likely a difference this large is between equal arms. */
  readonly pValue: number;
}

/** Welch's comparison of two means, by the normal distribution: for the hundreds of scores that an experiment needs. */
export function compare(a: ArmFigures, b: ArmFigures): Comparison {
  const difference = b.mean - a.mean;
  const error = Math.sqrt(a.variance / a.count + b.variance / b.count);
  const z = error === 0 ? (difference === 0 ? 0 : Number.POSITIVE_INFINITY) : Math.abs(difference) / error;
  return { difference, interval: [difference - 1.96 * error, difference + 1.96 * error], pValue: 2 * upperTail(z) };
}

/** P(Z > z) of the standard normal, z >= 0 (Abramowitz and Stegun 26.2.17, error below 7.5e-8). */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const polynomial = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * polynomial;
}
