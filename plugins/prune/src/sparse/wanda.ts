import type { Amount } from './magnitude.js';
import { markSmallest, maskPattern } from './mask.js';

/**
 * Wanda (Sun et al. 2023): the weights of each output with the smallest |w| * ||x||, where ||x|| is the norm of the input
 * over the calibration rows. Marked by 1.
 * @param squares [columns] sums of the squares of each input
 */
export function wandaMask(values: Float32Array, squares: Float64Array, { sparsity, pattern }: Amount): Uint8Array {
  const columns = squares.length;
  const rows = values.length / columns;
  const norms = Float32Array.from(squares, Math.sqrt);
  const scores = values.map((value, at) => Math.abs(value) * norms[at % columns]!);
  const mask = new Uint8Array(values.length);
  if (pattern) maskPattern(scores, rows, columns, pattern, mask);
  else {
    const count = Math.trunc(columns * sparsity);
    for (let row = 0; row < rows; row++) markSmallest(scores, row * columns, columns, count, mask);
  }
  return mask;
}
