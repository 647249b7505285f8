import { PhiloxStream } from '@largeforge/engine';
import { ranked } from '@largeforge/optimize';

/** Which values of a difference survive: the largest ones, or each by chance. */
export type Sparsification = 'magnitude' | 'random';

/** Keeps the `count` values of largest magnitude, the first of equal ones. Changes `values`. */
export function keepLargest(values: Float32Array, count: number): void {
  if (count >= values.length) return;
  if (count <= 0) {
    values.fill(0);
    return;
  }
  const least = ranked(values.map(Math.abs), values.length - count);
  let ties = count;
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i]!) > least) ties--;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (size < least || (size === least && ties-- <= 0)) values[i] = 0;
  }
}

/** Keeps each value with probability `density`: where a draw of 32 bits lies below it. Changes `values`. */
export function keepRandom(values: Float32Array, density: number, random: PhiloxStream): void {
  for (let i = 0; i < values.length; i++) if (random.uint32() / 2 ** 32 >= density) values[i] = 0;
}

/** The draws that decide which values of one tensor survive. */
export function drawsFor(seed: number, tensor: number): PhiloxStream {
  return new PhiloxStream(seed, tensor);
}
