import { goldenSection } from '../calibration/temperature.js';

/** How much each of two opinions counts. */
export interface PoolWeights {
  readonly neural: number;
  readonly keyword: number;
}

/** Before anything was learned: keywords, which nobody calibrated, count for half. */
export const defaultPool: PoolWeights = { neural: 1, keyword: 0.5 };

/** Floors of the two opinions. Keywords that say nothing of a class say little against it: theirs is the higher. */
const neuralFloor = 1e-3;
const keywordFloor = 0.05;

/**
 * Joins two opinions by their weighted geometric mean (logarithmic pooling, Genest and Zidek 1986), over the classes and
 * "none of them", whose probability is what an opinion leaves over. Where they agree the result is surer than either;
 * where they disagree the product decides, and its confidence falls.
 * @returns probability by class; what is missing from 1 is "none"
 */
export function pool(
  neural: ReadonlyMap<string, number>,
  keyword: ReadonlyMap<string, number>,
  weights: PoolWeights = defaultPool,
): Map<string, number> {
  // Silence of the keywords is no evidence that a query is out of scope: they then leave the other opinion as it is.
  if (keyword.size === 0) return new Map(neural);
  const value = (p: number, q: number) => (p + neuralFloor) ** weights.neural * (q + keywordFloor) ** weights.keyword;
  const pooled = new Map<string, number>();
  let total = value(rest(neural), rest(keyword));
  for (const name of new Set([...neural.keys(), ...keyword.keys()])) {
    const joint = value(neural.get(name) ?? 0, keyword.get(name) ?? 0);
    pooled.set(name, joint);
    total += joint;
  }
  for (const [name, joint] of pooled) pooled.set(name, joint / total);
  return pooled;
}

/**
 * Joins two opinions of which nobody knows how good they are, before any training: either is enough (noisy or), since
 * that a query is like no example says little against a keyword. Scaled down where the sum would exceed 1.
 */
export function either(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): Map<string, number> {
  const joined = new Map<string, number>();
  let total = 0;
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    const value = 1 - (1 - (a.get(name) ?? 0)) * (1 - (b.get(name) ?? 0));
    joined.set(name, value);
    total += value;
  }
  if (total > 1) for (const [name, value] of joined) joined.set(name, value / total);
  return joined;
}

/** A held-out row: the two opinions on it, and its class, null for none. */
export interface OpinionRow {
  readonly neural: ReadonlyMap<string, number>;
  readonly keyword: ReadonlyMap<string, number>;
  readonly label: string | null;
}

/**
 * Fits both weights on held-out rows by the likelihood of their classes, one after the other, twice. Weights stay between
 * 0 and 3: 0 for the keywords means that they are worth nothing beside the classifier.
 */
export function fitPool(rows: readonly OpinionRow[]): PoolWeights {
  if (rows.length === 0) return defaultPool;
  const loss = (weights: PoolWeights): number => {
    let sum = 0;
    for (const { neural, keyword, label } of rows) {
      const pooled = pool(neural, keyword, weights);
      sum -= Math.log(Math.max(1e-9, label === null ? rest(pooled) : (pooled.get(label) ?? 0)));
    }
    return sum;
  };
  let weights = defaultPool;
  for (let round = 0; round < 2; round++) {
    const keyword = goldenSection((x) => loss({ ...weights, keyword: x }), 0, 3);
    weights = { ...weights, keyword };
    weights = { ...weights, neural: goldenSection((x) => loss({ ...weights, neural: x }), 0, 3) };
  }
  return weights;
}

function rest(opinion: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const value of opinion.values()) sum += value;
  return Math.max(0, 1 - sum);
}
