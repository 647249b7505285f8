import { defineStepRunner } from '@largeforge/core';
import {
  checkQuantize,
  driftCorrectionOption,
  quantizeInputs,
  quantizeModel,
  quantizeOptions,
  quantizeOutputs,
} from '@largeforge/quantize';
import { z } from 'zod';
import { awqLayer } from './layer.js';

export const awqOptions = z.strictObject({
  ...quantizeOptions,
  bits: z
    .union([z.literal(4), z.literal(8)])
    .default(4)
    .describe('of a weight; 8 as compressed-tensors alone'),
  symmetric: z.boolean().default(false).describe('a range around 0 for each group; else a zero point of its own'),
  clip: z.boolean().default(true).describe('shrink ranges where that lowers the error'),
  steps: z.int().min(1).max(100).default(20).describe('ratios that the search for scales tries'),
  rounding: z
    .enum(['compensated', 'nearest'])
    .default('compensated')
    .describe(
      'scaled weights: as GPTQ rounds them, so that others make up for the errors; or to the nearest, as in the paper',
    ),
  sweeps: z.int().min(0).max(50).default(4).describe('of coordinate descent after compensated rounding'),
  driftCorrection: driftCorrectionOption.describe(`${driftCorrectionOption.description}; with compensated rounding`),
});

export type AwqStepOptions = z.output<typeof awqOptions>;

/** AWQ: a step `{stage: optimize, use: awq}`. */
export const awqRunner = defineStepRunner('optimize', {
  options: awqOptions,
  outputs: [...quantizeOutputs],
  inputs: quantizeInputs,
  check: checkQuantize,
  run(context, options: AwqStepOptions) {
    const { bits, symmetric, format = 'awq', clip, steps, rounding, sweeps, driftCorrection } = options;
    const settings = { clip, steps, rounding, sweeps, driftCorrection };
    return quantizeModel(context, options, {
      ...{ name: 'awq', bits, symmetric, format, settings },
      paired: rounding === 'compensated' && driftCorrection > 0,
      method: (task) => awqLayer(task, settings),
    });
  },
});
