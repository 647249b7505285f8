import { defineStepRunner } from '@largeforge/core';
import { commands, scope, Tensor } from '@largeforge/engine';
import { z } from 'zod';
import type { InputSizes } from './calibration/stream.js';
import { quantizeErrors } from './errors.js';
import { foldingOf, scaleColumns, spread } from './folding.js';
import { deviceWeight } from './layers.js';
import type { LayerTask } from './method.js';
import { quantizeOptions } from './options.js';
import { quantizeModel } from './quantize.js';
import { roundToNearest } from './rounding/grid.js';
import { checkQuantize, quantizeInputs, quantizeOutputs } from './runner.js';

const { groupSize: _, ...shared } = quantizeOptions;

export const smoothQuantOptions = z.strictObject({
  ...shared,
  format: z.literal('compressed-tensors').optional().describe('of the files'),
  modules: z
    .array(z.strictObject({ match: z.string().min(1), keep: z.literal(true) }))
    .default([])
    .describe('layers that are left as they are: {match: "down_proj$", keep: true}'),
  alpha: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('who gets the range: with 1 inputs become even and weights take all of it, with 0 the other way round'),
});

export type SmoothQuantOptions = z.output<typeof smoothQuantOptions>;

/** Scales are at least this. */
const LEAST = 1e-5;

/**
 * SmoothQuant (Xiao et al. 2022): a step `{stage: optimize, use: smoothquant}`. Weights and inputs get 8 bits, weights with a
 * scale for each row, inputs with one for each token that is found when it comes.
 */
export const smoothQuantRunner = defineStepRunner('optimize', {
  options: smoothQuantOptions,
  outputs: [...quantizeOutputs],
  inputs: quantizeInputs,
  check: checkQuantize,
  run(context, options: SmoothQuantOptions) {
    const { alpha } = options;
    return quantizeModel(context, options, {
      ...{ name: 'smoothquant', bits: 8, symmetric: true, format: 'compressed-tensors' },
      ...{ byRow: true, dynamicInputs: true, settings: { alpha } },
      method: (task) => smoothLayer(task, alpha),
    });
  },
});

/** Smooths the inputs of a layer that come from norms, then rounds its weights to the nearest codes. */
async function smoothLayer(task: LayerTask, alpha: number): Promise<void> {
  const { model, layer, linears, schemeOf, keep, signal } = task;
  if (layer !== undefined) {
    const { layers, attentionOutput, feedForward } = model.config.modules;
    const others = [attentionOutput, feedForward.names.at(-1)].map((name) => `${layers}.${layer}.${name}`);
    const readers = linears.filter(({ name }) => !others.includes(name));
    for (const input of readers.length > 0 ? await task.largest(readers) : []) {
      signal.throwIfAborted();
      await smooth(task, layer, input, alpha);
    }
  }
  for (const linear of linears) {
    signal.throwIfAborted();
    using weight = await deviceWeight(linear);
    await keep(linear, { weight: await roundToNearest(weight, { ...schemeOf(linear), search: false }) });
  }
}

/** Divides what a norm makes by scales, and multiplies the weights that read it; not where others read it too. */
async function smooth({ device, model }: LayerTask, layer: number, input: InputSizes, alpha: number): Promise<void> {
  const { linears, sizes } = input;
  if (!sizes.every(Number.isFinite)) throw quantizeErrors.LF_QUANTIZE_ACTIVATIONS({ layer: linears[0]!.name });
  const folding = foldingOf(model, layer, linears);
  if (folding?.maker !== 'norm') return;
  const weights: Tensor[] = [];
  try {
    const most = new Float32Array(sizes.length);
    for (const linear of linears) {
      const weight = await deviceWeight(linear);
      weights.push(weight);
      const own = await largestOfColumns(weight);
      own.forEach((size, column) => {
        most[column] = Math.max(most[column]!, size);
      });
    }
    const columns = spread(await folding.divide(smoothingScales(sizes, most, alpha)), folding.channelOf);
    for (const [i, linear] of linears.entries()) {
      scaleColumns(weights[i]!, columns);
      linear.weight.assign(weights[i]!);
    }
    await device.flush();
  } finally {
    for (const weight of weights) weight.dispose();
  }
}

/**
 * What each channel of a layer's inputs is divided by, and the weights that read it multiplied (SmoothQuant, equation 4).
 * @param inputs the largest magnitude of each channel
 * @param weights the largest magnitude of the weights that read it
 * @param alpha how much of the range goes over to the weights
 */
export function smoothingScales(inputs: Float32Array, weights: Float32Array, alpha: number): Float32Array {
  return inputs.map((input, c) => {
    const weight = weights[c]!;
    return Math.max(LEAST, weight > 0 ? input ** alpha / weight ** (1 - alpha) : input);
  });
}

async function largestOfColumns(weight: Tensor): Promise<Float32Array> {
  const { device } = weight;
  const [n, k] = weight.shape as [number, number];
  using sizes = scope(() => {
    const out = Tensor.empty(device, [k]);
    commands.reduce(device.recorder, 'absMax', weight.view([k, n], [1, k]), out);
    return out;
  });
  return (await sizes.floats()).slice();
}
