import type { Comparison } from './measure.js';
import type { GateOptions } from './options.js';

/** By how much a quantised model misses the limits of its gate; empty when it passes. */
export function gateFailures(comparison: Comparison | undefined, gate: GateOptions): string[] {
  if (!comparison) return [];
  const { perplexityRatio, kl, top1 } = comparison;
  const { maxPerplexityRatio, maxKl, minTop1 } = gate;
  const failures: string[] = [];
  // Written so that a figure that is no number fails.
  if (maxPerplexityRatio !== undefined && !(perplexityRatio <= maxPerplexityRatio)) {
    failures.push(`perplexity rose by a factor of ${perplexityRatio.toFixed(4)}, more than ${maxPerplexityRatio}`);
  }
  if (maxKl !== undefined && !(kl <= maxKl)) failures.push(`KL divergence ${kl.toFixed(4)} is above ${maxKl}`);
  if (minTop1 !== undefined && !(top1 >= minTop1)) {
    failures.push(
      `the most likely token stayed the same at ${(100 * top1).toFixed(1)} % of positions, below ${100 * minTop1} %`,
    );
  }
  if (!Number.isFinite(comparison.perplexity)) failures.push('its perplexity is no finite number');
  return failures;
}
