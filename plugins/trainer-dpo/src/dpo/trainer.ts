import { defineStepRunner } from '@largeforge/core';
import { trainerOutputs } from '@largeforge/trainer';
import { checkPreferenceTrainer } from '../check.js';
import { pairInputs, trainOnPairs } from '../pair-trainer.js';
import { dpoMethod } from './method.js';
import { type DpoOptions, dpoOptions } from './options.js';

/** Direct preference optimisation: a LoRA adapter, or every weight. */
export const dpoRunner = defineStepRunner('train', {
  options: dpoOptions,
  outputs: trainerOutputs,
  inputs: (options: DpoOptions) => pairInputs(options, options.reference),
  check: checkPreferenceTrainer,
  run: (context, options: DpoOptions) =>
    trainOnPairs(context, options, {
      method: dpoMethod(options),
      learningRates: { adapter: 5e-6, full: 1e-6 },
      reference: { model: options.reference, precompute: options.precomputeReference },
    }),
});
