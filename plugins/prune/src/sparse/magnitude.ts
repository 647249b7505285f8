import { maskPattern, maskThreshold, type Pattern } from './mask.js';

/** What is taken from a matrix: a share of its weights, or N of every M. */
export interface Amount {
  readonly sparsity: number;
  readonly pattern: Pattern | undefined;
}

/** The smallest weights of a matrix [rows, columns] (Han et al. 2015), marked by 1. */
export function magnitudeMask(values: Float32Array, columns: number, { sparsity, pattern }: Amount): Uint8Array {
  const scores = values.map(Math.abs);
  const mask = new Uint8Array(values.length);
  if (pattern) maskPattern(scores, values.length / columns, columns, pattern, mask);
  else maskThreshold(scores, sparsity, mask);
  return mask;
}
