import type { SpikeOptions } from './options.js';

/** Steps in a row that may be skipped; more say that it is no spike. */
export const mostSkipsInARow = 20;

/**
 * Whether a step lies so far above those before it that it must not count, by OLMo 2's rule: its loss or its gradient norm
 * is not finite, or more than `deviations` sample deviations above the mean of the finite ones among the last `window`
 * steps, of which there must be at least half a window, this step among them.
 * @param losses of the steps so far, skipped ones among them
 */
export function isSpike(
  { window, deviations }: SpikeOptions,
  losses: readonly number[],
  gradNorms: readonly number[],
  loss: number,
  gradNorm: number,
): boolean {
  if (losses.length + 1 < Math.max(2, Math.floor(window / 2))) return false;
  if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) return true;
  return (
    aboveOthers(losses.slice(-window), loss, deviations) || aboveOthers(gradNorms.slice(-window), gradNorm, deviations)
  );
}

function aboveOthers(values: readonly number[], value: number, deviations: number): boolean {
  const finite = values.filter(Number.isFinite);
  const mean = finite.reduce((sum, x) => sum + x, 0) / finite.length;
  const variance = finite.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (finite.length - 1);
  // Too few to compare with give NaN, which nothing is above.
  return value - mean > deviations * Math.sqrt(variance);
}
