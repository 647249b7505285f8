import { z } from 'zod';

/**
 * Shape of the learning rate over a run, in Hugging Face's terms:
 * `constant`; `linear` and `cosine` fall to `minimum` at the last step; `cosine-restarts` falls so `cycles` times, each
 * time from the peak; `polynomial` falls with the power `power` of what is left; `wsd` (warm-up, stable, decay) stays at the
 * peak and falls over the last `decayRatio` of the steps; `list` runs straight from point to point of `points`.
 */
export const scheduleOptions = z.strictObject({
  type: z
    .enum(['constant', 'linear', 'cosine', 'cosine-restarts', 'polynomial', 'wsd', 'list'])
    .default('cosine')
    .describe('shape of the learning rate'),
  warmupSteps: z.int().min(0).optional().describe('optimiser steps of linear warm-up; overrides warmupRatio'),
  warmupRatio: z.number().min(0).max(1).default(0.03).describe('share of all steps spent on linear warm-up'),
  minimumRatio: z.number().min(0).max(1).default(0).describe('final learning rate as a share of the peak'),
  decayRatio: z.number().min(0).max(1).default(0.2).describe('wsd: share of all steps spent on the final decay'),
  decayShape: z.enum(['linear', 'cosine', 'sqrt']).default('linear').describe('wsd: shape of the final decay'),
  cycles: z.int().min(1).default(1).describe('cosine-restarts: how often the rate falls'),
  power: z.number().positive().default(1).describe('polynomial: its exponent'),
  points: z
    .array(z.tuple([z.number().min(0).max(1), z.number().min(0)]))
    .min(1)
    .optional()
    .describe('list: pairs of a share of the steps behind the warm-up and a share of the peak, in order'),
});

export type ScheduleOptions = z.infer<typeof scheduleOptions>;

/** Warm-up steps of a run; a ratio rounds up, as transformers does. */
export function warmupSteps(options: ScheduleOptions, totalSteps: number): number {
  return Math.min(options.warmupSteps ?? Math.ceil(options.warmupRatio * totalSteps), totalSteps);
}

/**
 * Learning rate of optimiser step `step` (0 is the first), as transformers' schedulers give it: the first of w warm-up
 * steps runs at 0, step w at the peak.
 * @param peak the learning rate that the user set
 */
export function learningRate(options: ScheduleOptions, peak: number, step: number, totalSteps: number): number {
  const warmup = warmupSteps(options, totalSteps);
  if (step < warmup) return peak * (step / Math.max(1, warmup));
  const floor = options.minimumRatio;
  const remaining = Math.max(1, totalSteps - warmup);
  const progress = Math.min(1, (step - warmup) / remaining);
  switch (options.type) {
    case 'constant':
      return peak;
    case 'linear':
      return peak * (floor + (1 - floor) * (1 - progress));
    case 'cosine':
      return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * progress)));
    case 'cosine-restarts': {
      const within = progress < 1 ? (options.cycles * progress) % 1 : 1;
      return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * within)));
    }
    case 'polynomial':
      return peak * (floor + (1 - floor) * (1 - progress) ** options.power);
    case 'list':
      return peak * between(options.points ?? [[0, 1]], progress);
    case 'wsd': {
      const decay = Math.min(remaining, Math.ceil(options.decayRatio * totalSteps));
      const into = step - (totalSteps - decay);
      if (into <= 0) return peak;
      const share = Math.min(1, into / Math.max(1, decay));
      return peak * (floor + (1 - floor) * remainingOf(options.decayShape, share));
    }
  }
}

/** The value at `progress` of a line through points; before the first and behind the last it is theirs. */
function between(points: readonly (readonly [at: number, value: number])[], progress: number): number {
  const next = points.findIndex(([at]) => at > progress);
  if (next <= 0) return (next === 0 ? points[0] : points.at(-1))?.[1] as number;
  const [[from, low], [to, high]] = [points[next - 1], points[next]] as [[number, number], [number, number]];
  return low + ((high - low) * (progress - from)) / (to - from);
}

/** What is left of the peak after `share` of the decay. `sqrt` is 1 - sqrt(x) (Haegele et al. 2024). */
function remainingOf(shape: ScheduleOptions['decayShape'], share: number): number {
  if (shape === 'linear') return 1 - share;
  return shape === 'cosine' ? 0.5 * (1 + Math.cos(Math.PI * share)) : 1 - Math.sqrt(share);
}
