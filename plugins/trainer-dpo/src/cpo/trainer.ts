import { defineStepRunner } from '@largeforge/core';
import { trainerOutputs } from '@largeforge/trainer';
import { z } from 'zod';
import { checkPreferenceTrainer } from '../check.js';
import { checkPreferenceOptions, preferenceOptions } from '../options.js';
import { pairInputs, trainOnPairs } from '../pair-trainer.js';
import { cpoLosses, cpoMethod } from './method.js';

const learningRates = { adapter: 5e-6, full: 1e-6 };

const shared = {
  ...preferenceOptions,
  learningRate: preferenceOptions.learningRate.describe('peak; 5e-6 with LoRA, 1e-6 in full unless given'),
  labelSmoothing: z
    .number()
    .min(0)
    .max(0.5)
    .default(0)
    .describe('share of pairs that are taken to be the wrong way round (sigmoid, simpo)'),
};

/** Options of contrastive preference optimisation. */
export const cpoOptions = z
  .strictObject({
    ...shared,
    loss: z.enum(cpoLosses).default('sigmoid').describe('of a pair; with simpo this is CPO-SimPO'),
    beta: z.number().positive().default(0.1).describe('scale of the rewards'),
    simpoGamma: z.number().default(0.5).describe('margin between the rewards (simpo)'),
    cpoAlpha: z.number().min(0).default(1).describe('weight of the cross-entropy of the chosen answers'),
  })
  .superRefine(checkPreferenceOptions);

/** Options of simple preference optimisation. */
export const simpoOptions = z
  .strictObject({
    ...shared,
    beta: z.number().positive().default(2).describe('scale of the rewards, which are means over tokens'),
    gamma: z.number().default(1).describe('margin between the rewards'),
  })
  .superRefine(checkPreferenceOptions);

type CpoOptions = z.output<typeof cpoOptions>;
type SimpoOptions = z.output<typeof simpoOptions>;

/** Contrastive preference optimisation: no reference. */
export const cpoRunner = defineStepRunner('train', {
  options: cpoOptions,
  outputs: trainerOutputs,
  inputs: (options: CpoOptions) => pairInputs(options),
  check: checkPreferenceTrainer,
  run: (context, options: CpoOptions) => trainOnPairs(context, options, { method: cpoMethod(options), learningRates }),
});

/** Simple preference optimisation: no reference, mean log-probabilities, a margin. */
export const simpoRunner = defineStepRunner('train', {
  options: simpoOptions,
  outputs: trainerOutputs,
  inputs: (options: SimpoOptions) => pairInputs(options),
  check: checkPreferenceTrainer,
  run(context, options: SimpoOptions) {
    const method = cpoMethod({ ...options, loss: 'simpo', simpoGamma: options.gamma, cpoAlpha: 0 });
    return trainOnPairs(context, options, { method, learningRates });
  },
});
