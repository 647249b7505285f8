import type { Comparison } from './compare.js';
import type { GateOptions } from './options.js';
import type { TaskComparison } from './tasks.js';

/** One limit of a gate, and how the model stands to it. */
export interface GateCheck {
  readonly name: string;
  readonly limit: number;
  readonly value: number;
  readonly passed: boolean;
  /** By how much it failed, in words. */
  readonly failure: string | undefined;
}

const share = (value: number) => `${(100 * value).toFixed(1)} %`;

/** The limits of a gate one by one. A figure that is no number fails every limit. */
export function gateChecks(
  comparison: Comparison | undefined,
  tasks: readonly TaskComparison[],
  gate: GateOptions,
): GateCheck[] {
  const checks: GateCheck[] = [];
  const add = (name: string, limit: number | undefined, value: number, passed: boolean, failure: string) => {
    if (limit === undefined) return;
    checks.push({ name, limit, value, passed, failure: passed ? undefined : failure });
  };
  if (comparison) {
    const { perplexity, perplexityRatio, kl, top1 } = comparison;
    const { maxPerplexityRatio = Number.NaN, maxKl = Number.NaN, minTop1 = Number.NaN } = gate;
    const ratioText = `perplexity rose by a factor of ${perplexityRatio.toFixed(4)}, more than ${maxPerplexityRatio}`;
    add('perplexity ratio', gate.maxPerplexityRatio, perplexityRatio, perplexityRatio <= maxPerplexityRatio, ratioText);
    add('KL divergence', gate.maxKl, kl, kl <= maxKl, `KL divergence ${kl.toFixed(4)} is above ${maxKl}`);
    const sameText = `the most likely token stayed the same at ${share(top1)} of positions, below ${100 * minTop1} %`;
    add('same best token', gate.minTop1, top1, top1 >= minTop1, sameText);
    if (!Number.isFinite(perplexity)) {
      const failure = 'its perplexity is no finite number';
      checks.push({ name: 'perplexity', limit: Number.MAX_VALUE, value: perplexity, passed: false, failure });
    }
  }
  for (const { task, metric, before, after } of tasks) {
    const { maxDrop = Number.NaN, failUnder = {} } = gate.tasks ?? {};
    const drop = before - after;
    const fell = `${metric} of ${task} fell from ${share(before)} to ${share(after)}, by more than ${share(maxDrop)}`;
    // As floats: 0.5 - 0.3 may be above 0.2 by a rounding.
    add(`${task}: drop of ${metric}`, gate.tasks?.maxDrop, drop, drop <= maxDrop + 1e-12, fell);
    const least = failUnder[task];
    const low = `${metric} of ${task} is ${share(after)}, below ${share(least ?? 0)}`;
    add(`${task}: ${metric}`, least, after, least !== undefined && after >= least, low);
  }
  return checks;
}
