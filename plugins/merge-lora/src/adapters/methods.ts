import type { TaskArithmetic } from '../arithmetic/task-vectors.js';

/** Ways to make one adapter of several, by the names that PEFT's `add_weighted_adapter` gives them. */
export const adapterMethods = [
  'linear',
  'cat',
  'svd',
  'ties',
  'ties_svd',
  'dare_linear',
  'dare_linear_svd',
  'dare_ties',
  'dare_ties_svd',
  'magnitude_prune',
  'magnitude_prune_svd',
] as const;
export type AdapterMethod = (typeof adapterMethods)[number];

/** What a combination of adapters is made with. */
export interface CombineOptions {
  readonly method: AdapterMethod;
  readonly weights: readonly number[];
  /** Share of the values that is kept, of the methods that drop values. */
  readonly density: number;
  readonly majoritySign: 'total' | 'frequency';
  /** Of the result, with svd; the largest of the adapters unless given. */
  readonly rank?: number | undefined;
  /** Of DARE's draws. */
  readonly seed: number;
}

/** Whether a method works on products B A, which it then makes low in rank again, rather than on A and B apart. */
export const worksOnProducts = (method: AdapterMethod): boolean => method.endsWith('svd');

/** Whether a method drops values. */
export const dropsValues = (method: AdapterMethod): boolean => /ties|dare|magnitude/.test(method);

/** PEFT's arithmetic of a method, over tensors with these weights. */
export function arithmeticOf(options: CombineOptions, weights: readonly number[]): TaskArithmetic {
  const { method, density, majoritySign, seed } = options;
  const base = method.replace(/_?svd$/, '');
  const random = base.startsWith('dare');
  return {
    weights,
    densities: weights.map(() => density),
    ...(dropsValues(method) && { sparsification: random ? 'random' : 'magnitude' }),
    rescale: random ? 'density' : 'none',
    consensus: base.endsWith('ties') ? (majoritySign === 'total' ? 'sum' : 'count') : undefined,
    convention: 'peft',
    normalize: false,
    seed,
  };
}
