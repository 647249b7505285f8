import { defineStepRunner } from '@largeforge/core';
import {
  checkQuantize,
  finiteWeight,
  type LayerTask,
  quantizeInputs,
  quantizeModel,
  quantizeOptions,
  quantizeOutputs,
} from '@largeforge/quantize';
import { z } from 'zod';
import { gptq, prepare } from './gptq.js';

export const gptqOptions = z.strictObject({
  ...quantizeOptions,
  bits: z
    .union([z.literal(2), z.literal(3), z.literal(4), z.literal(8)])
    .default(4)
    .describe('of a weight'),
  symmetric: z.boolean().default(true).describe('a range around 0 for each group; else a zero point of its own'),
  actOrder: z
    .boolean()
    .default(false)
    .describe('quantise the inputs with the largest activations first; scales are then fixed beforehand'),
  damping: z
    .number()
    .positive()
    .max(1)
    .default(0.01)
    .describe("added to the Hessian's diagonal, as a share of its mean"),
  search: z.boolean().default(true).describe('shrink ranges where that lowers the error'),
  trueSequential: z
    .boolean()
    .default(false)
    .describe('collect statistics again after each part of a layer is quantised: four runs of a layer instead of one'),
});

export type GptqStepOptions = z.output<typeof gptqOptions>;

/** GPTQ: a step `{stage: optimize, use: gptq}`. */
export const gptqRunner = defineStepRunner('optimize', {
  options: gptqOptions,
  outputs: [...quantizeOutputs],
  inputs: quantizeInputs,
  check: checkQuantize,
  run(context, options: GptqStepOptions) {
    const { bits, symmetric, format = 'gptq', actOrder, damping, search, trueSequential } = options;
    return quantizeModel(context, options, {
      name: 'gptq',
      bits,
      symmetric,
      format,
      settings: { actOrder, damping, search, trueSequential },
      method: (task) => gptqLayer(task, { actOrder, damping, search, trueSequential }),
    });
  },
});

type Settings = Pick<GptqStepOptions, 'actOrder' | 'damping' | 'search' | 'trueSequential'>;

async function gptqLayer(task: LayerTask, settings: Settings): Promise<void> {
  const { device, layer, linears, stream, scheme, signal, keep } = task;
  const options = { ...scheme, ...settings };
  let left = linears;
  while (left.length > 0) {
    const inputs = await stream.squares(layer, left, signal);
    try {
      for (const { linears: own, square } of settings.trueSequential ? inputs.slice(0, 1) : inputs) {
        signal.throwIfAborted();
        using ready = await prepare(device, own[0]!.name, await square.floats(), options);
        for (const linear of own) await keep(linear, await gptq(device, await finiteWeight(linear), ready, options));
        left = left.filter((linear) => !own.includes(linear));
      }
    } finally {
      for (const { square } of inputs) square.dispose();
    }
  }
}
