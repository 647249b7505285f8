import { defineStepRunner } from '@largeforge/core';
import {
  bitsOption,
  checkQuantize,
  driftCorrectionOption,
  quantizeInputs,
  quantizeModel,
  quantizeOptions,
  quantizeOutputs,
} from '@largeforge/quantize';
import { z } from 'zod';
import { gptqLayer } from './layer.js';

export const gptqOptions = z.strictObject({
  ...quantizeOptions,
  bits: bitsOption.default(4),
  symmetric: z.boolean().default(true).describe('a range around 0 for each group; else a zero point of its own'),
  actOrder: z.boolean().default(true).describe('quantise the inputs with the largest activations first'),
  staticGroups: z
    .boolean()
    .default(true)
    .describe(
      'groups are runs of inputs as they lie, with scales that are fixed beforehand; without it act-order mixes them (g_idx)',
    ),
  damping: z
    .union([z.number().positive().max(1), z.array(z.number().positive().max(1)).min(1)])
    .default(0.01)
    .describe("added to the Hessian's diagonal, as a share of its mean; the best of several for each group of layers"),
  search: z.boolean().default(true).describe('shrink ranges where that lowers the error'),
  sweeps: z.int().min(0).max(50).default(4).describe('of coordinate descent over scales and codes afterwards'),
  blockSize: z.int().min(1).default(128).describe('inputs whose errors are carried to the others at once'),
  trueSequential: z
    .boolean()
    .default(true)
    .describe(
      'quantise each part of a layer on what the parts before it, quantised, give: one run of each layer, with the inputs of a part of all windows in memory; else all parts on what the original layer gives, in two runs',
    ),
  rotateValues: z
    .boolean()
    .default(true)
    .describe(
      'turn the values of each head by a Hadamard matrix, and the output of attention back, before anything else',
    ),
  driftCorrection: driftCorrectionOption,
});

export type GptqStepOptions = z.output<typeof gptqOptions>;

/** GPTQ: a step `{stage: optimize, use: gptq}`. */
export const gptqRunner = defineStepRunner('optimize', {
  options: gptqOptions,
  outputs: [...quantizeOutputs],
  inputs: quantizeInputs,
  check: checkQuantize,
  async run(context, options: GptqStepOptions) {
    const { bits, symmetric, format = 'gptq', actOrder, staticGroups, damping, ...rest } = options;
    const { search, sweeps, blockSize, trueSequential, rotateValues, driftCorrection } = rest;
    const dampings = typeof damping === 'number' ? [damping] : damping;
    // Without an order of their own, groups need not be fixed to be runs.
    const settings = {
      ...{ actOrder, staticGroups, dampings, search, sweeps, blockSize },
      ...{ trueSequential, rotateValues, driftCorrection },
    };
    return quantizeModel(context, options, {
      ...{ name: 'gptq', bits, symmetric, format, settings },
      ordered: actOrder && !staticGroups,
      paired: driftCorrection > 0,
      method: (task) => gptqLayer(task, settings),
    });
  },
});
