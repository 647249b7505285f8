import { z } from 'zod';
import type { LossScaleOptions } from './options.js';

export const lossScaleState = z.object({
  scale: z.number(),
  /** Updates in a row without an overflow, since the scale last changed. */
  sinceChange: z.int(),
});

export type LossScaleState = z.infer<typeof lossScaleState>;

/** A scale below this one lets no gradient through: the loss itself has no gradient. */
export const smallestLossScale = 2 ** -20;

/** The scale of a run that begins. */
export function initialLossScale({ initial }: LossScaleOptions): LossScaleState {
  return { scale: initial, sinceChange: 0 };
}

/** The scale after a step, as PyTorch's GradScaler.update() has it (Micikevicius et al. 2018, section 3.2). */
export function nextLossScale(
  { scale, sinceChange }: LossScaleState,
  overflowed: boolean,
  { growthFactor, backoffFactor, growthInterval }: LossScaleOptions,
): LossScaleState {
  if (overflowed) return { scale: scale * backoffFactor, sinceChange: 0 };
  if (sinceChange + 1 < growthInterval) return { scale, sinceChange: sinceChange + 1 };
  // A scale that f32 does not hold is none.
  const grown = scale * growthFactor;
  return { scale: Number.isFinite(Math.fround(grown)) ? grown : scale, sinceChange: 0 };
}
