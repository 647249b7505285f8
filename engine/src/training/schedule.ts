import { z } from 'zod';

/**
 * Shape of the learning rate over a run, in Hugging Face's terms:
 * `constant`; `linear` and `cosine` fall to `minimum` at the last step; `wsd` (warm-up, stable, decay) stays at the peak
 * and falls over the last `decayRatio` of the steps.
 */
export const scheduleOptions = z.strictObject({
  type: z.enum(['constant', 'linear', 'cosine', 'wsd']).default('cosine').describe('shape of the learning rate'),
  warmupSteps: z.int().min(0).optional().describe('optimiser steps of linear warm-up; overrides warmupRatio'),
  warmupRatio: z.number().min(0).max(1).default(0.03).describe('share of all steps spent on linear warm-up'),
  minimumRatio: z.number().min(0).max(1).default(0).describe('final learning rate as a share of the peak'),
  decayRatio: z.number().min(0).max(1).default(0.2).describe('wsd: share of all steps spent on the final decay'),
  decayShape: z.enum(['linear', 'cosine', 'sqrt']).default('linear').describe('wsd: shape of the final decay'),
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
    case 'wsd': {
      const decay = Math.min(remaining, Math.ceil(options.decayRatio * totalSteps));
      const into = step - (totalSteps - decay);
      if (into <= 0) return peak;
      const share = Math.min(1, into / Math.max(1, decay));
      return peak * (floor + (1 - floor) * remainingOf(options.decayShape, share));
    }
  }
}

/** What is left of the peak after `share` of the decay. `sqrt` is 1 - sqrt(x) (Haegele et al. 2024). */
function remainingOf(shape: ScheduleOptions['decayShape'], share: number): number {
  if (shape === 'linear') return 1 - share;
  return shape === 'cosine' ? 0.5 * (1 + Math.cos(Math.PI * share)) : 1 - Math.sqrt(share);
}
