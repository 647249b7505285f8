import { defineStepRunner } from '@largeforge/core';
import { trainerOutputs } from '@largeforge/trainer';
import { z } from 'zod';
import { checkPreferenceTrainer } from '../check.js';
import { checkPreferenceOptions, preferenceOptions } from '../options.js';
import { pairInputs, trainOnPairs } from '../pair-trainer.js';
import { orpoMethod } from './method.js';

/** Options of odds-ratio preference optimisation. */
export const orpoOptions = z
  .strictObject({
    ...preferenceOptions,
    learningRate: preferenceOptions.learningRate.describe('peak; 5e-5 with LoRA, 8e-6 in full unless given'),
    beta: z.number().min(0).default(0.1).describe("weight of the odds ratio: the paper's lambda"),
  })
  .superRefine(checkPreferenceOptions);

type OrpoOptions = z.output<typeof orpoOptions>;

/** Odds-ratio preference optimisation: imitation and preference at once, without a reference. */
export const orpoRunner = defineStepRunner('train', {
  options: orpoOptions,
  outputs: trainerOutputs,
  inputs: (options: OrpoOptions) => pairInputs(options),
  check: checkPreferenceTrainer,
  run: (context, options: OrpoOptions) =>
    trainOnPairs(context, options, {
      method: orpoMethod(options),
      learningRates: { adapter: 5e-5, full: 8e-6 },
    }),
});
