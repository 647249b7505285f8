import { defineStepRunner } from '@largeforge/core';
import { commands, type Linear, scope, Tensor } from '@largeforge/engine';
import { z } from 'zod';
import type { InputSizes, Smoothing } from './calibration/stream.js';
import { quantizeErrors } from './errors.js';
import { type Folding, foldingOf, scaleColumns, spread } from './folding.js';
import { deviceWeight } from './layers.js';
import type { LayerTask } from './method.js';
import { quantizeOptions } from './options.js';
import { quantizeModel } from './quantize.js';
import { compensate, prepare } from './rounding/compensate.js';
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
  rounding: z
    .enum(['compensated', 'nearest'])
    .default('compensated')
    .describe('smoothed weights: as GPTQ rounds them, so that others make up for the errors; or to the nearest'),
});

export type SmoothQuantOptions = z.output<typeof smoothQuantOptions>;

const COMPENSATION = {
  ...{ actOrder: true, staticGroups: true, damping: 0.01, blockSize: 128 },
  // A row of 8 bits has steps so small that codes need no second look.
  ...{ search: false, sweeps: 0 },
};

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
    const { alpha, rounding } = options;
    return quantizeModel(context, options, {
      ...{ name: 'smoothquant', bits: 8, symmetric: true, format: 'compressed-tensors' },
      ...{ byRow: true, dynamicInputs: true, settings: { alpha, rounding } },
      method: (task) => smoothLayer(task, alpha, rounding),
    });
  },
});

/** Smooths the inputs of a layer that come from norms, and rounds its weights. */
async function smoothLayer(task: LayerTask, alpha: number, rounding: SmoothQuantOptions['rounding']): Promise<void> {
  const { device, model, layer, schemeOf, keep, signal } = task;
  const foldingAtNorm = (linears: readonly Linear[]) => {
    const folding = layer === undefined || linears.length === 0 ? undefined : foldingOf(model, layer, linears);
    return folding?.maker === 'norm' ? folding : undefined;
  };
  const smoothing: Smoothing = {
    wants: (linears) => foldingAtNorm(linears) !== undefined,
    smooth: (input) => smooth(foldingAtNorm(input.linears)!, input, alpha),
  };
  await task.inParts(async ({ linears, square }) => {
    const options = { ...COMPENSATION, ...schemeOf(linears[0]!) };
    using ready = rounding === 'compensated' ? await prepare(device, linears[0]!.name, square, options) : undefined;
    for (const linear of linears) {
      signal.throwIfAborted();
      using weight = await deviceWeight(linear);
      const rounded = ready
        ? await compensate(device, weight, ready, options)
        : { weight: await roundToNearest(weight, options) };
      await keep(linear, rounded);
    }
  }, smoothing);
}

/** Divides what a norm makes by scales, and multiplies the weights that read it. Gives the scale of each channel. */
async function smooth(folding: Folding, { linears, sizes }: InputSizes, alpha: number): Promise<Float32Array> {
  if (!sizes.every(Number.isFinite)) throw quantizeErrors.LF_QUANTIZE_ACTIVATIONS({ layer: linears[0]!.name });
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
    await linears[0]!.weight.device.flush();
    return columns;
  } finally {
    for (const weight of weights) weight.dispose();
  }
}

/**
 * What each channel of a layer's inputs is divided by, and the weights that read it multiplied (SmoothQuant, equation 4), with the
 * range of inputs, as llm-compressor takes it, where the paper has their largest magnitude: channels that stand out do so on one
 * side, and are divided by less.
 * @param inputs the largest value of each channel less its smallest
 * @param weights the largest magnitude of the weights that read it
 * @param alpha how much of the range goes over to the weights
 */
export function smoothingScales(inputs: Float32Array, weights: Float32Array, alpha: number): Float32Array {
  return inputs.map((input, c) => {
    const weight = 2 * weights[c]!;
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
