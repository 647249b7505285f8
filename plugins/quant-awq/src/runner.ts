import { defineStepRunner } from '@largeforge/core';
import { dequantize, Tensor } from '@largeforge/engine';
import {
  checkQuantize,
  finiteWeight,
  type LayerTask,
  outputError,
  quantizeErrors,
  quantizeInputs,
  quantizeModel,
  quantizeOptions,
  quantizeOutputs,
  roundToNearest,
  type SharedInput,
} from '@largeforge/quantize';
import { z } from 'zod';
import { foldingOf } from './folding.js';
import { searchScales, spread } from './scale-search.js';

export const awqOptions = z.strictObject({
  ...quantizeOptions,
  bits: z
    .union([z.literal(4), z.literal(8)])
    .default(4)
    .describe('of a weight; 8 as compressed-tensors alone'),
  symmetric: z.boolean().default(false).describe('a range around 0 for each group; else a zero point of its own'),
  clip: z.boolean().default(true).describe('shrink ranges where that lowers the error'),
  steps: z.int().min(1).max(100).default(20).describe('ratios that the search for scales tries'),
});

export type AwqStepOptions = z.output<typeof awqOptions>;

/** AWQ: a step `{stage: optimize, use: awq}`. */
export const awqRunner = defineStepRunner('optimize', {
  options: awqOptions,
  outputs: [...quantizeOutputs],
  inputs: quantizeInputs,
  check: checkQuantize,
  run(context, options: AwqStepOptions) {
    const { bits, symmetric, format = 'awq', clip, steps } = options;
    return quantizeModel(context, options, {
      name: 'awq',
      bits,
      symmetric,
      format,
      settings: { clip, steps },
      method: (task) => awqLayer(task, { clip, steps }),
    });
  },
});

type Settings = Pick<AwqStepOptions, 'clip' | 'steps'>;

async function awqLayer(task: LayerTask, settings: Settings): Promise<void> {
  const { layer, linears, stream, signal } = task;
  const inputs = await stream.squares(layer, linears, signal);
  try {
    // All scales first: folding them changes weights that other groups of the layer quantise.
    const importances: Float64Array[] = [];
    for (const input of inputs) importances.push(await scaleInputs(task, input, settings));
    for (const [i, input] of inputs.entries()) await roundLayers(task, input, importances[i]!, settings);
  } finally {
    for (const { square } of inputs) square.dispose();
  }
}

/** Scales the inputs of layers where that pays. X^T X follows; returns its diagonal. */
async function scaleInputs(
  { device, model, layer, scheme, signal }: LayerTask,
  { linears, square }: SharedInput,
  { steps }: Settings,
): Promise<Float64Array> {
  signal.throwIfAborted();
  const values = (await square.floats()).slice();
  const k = linears[0]!.inFeatures;
  const diagonal = () => Float64Array.from({ length: k }, (_, i) => values[i * k + i]!);
  if (!diagonal().every(Number.isFinite)) throw quantizeErrors.LF_QUANTIZE_ACTIVATIONS({ layer: linears[0]!.name });
  const folding = foldingOf(model, layer, linears);
  if (!folding) return diagonal();
  const weights = [];
  for (const linear of linears) weights.push({ values: await finiteWeight(linear), outFeatures: linear.outFeatures });
  const options = { ...scheme, search: false, steps };
  const { scales, gain } = await searchScales(device, weights, square, folding, options);
  if (gain >= 1) return diagonal();
  const columns = spread(await folding.divide(scales), folding.channelOf);
  for (const [i, linear] of linears.entries()) {
    const scaled = weights[i]!.values.map((value, at) => value * columns[at % k]!);
    using tensor = Tensor.from(device, scaled, linear.weight.shape);
    linear.weight.assign(tensor);
  }
  for (let i = 0; i < values.length; i++) values[i]! /= columns[i % k]! * columns[Math.floor(i / k)]!;
  device.write(square, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  await device.flush();
  return diagonal();
}

async function roundLayers(
  { device, scheme, keep, signal }: LayerTask,
  { linears, square }: SharedInput,
  importance: Float64Array,
  { clip }: Settings,
): Promise<void> {
  for (const linear of linears) {
    signal.throwIfAborted();
    const values = await finiteWeight(linear);
    const weight = roundToNearest(values, linear.inFeatures, scheme.groupSize, { ...scheme, search: clip }, importance);
    const stored = dequantize(weight);
    const difference = values.map((value, i) => stored[i]! - value);
    const whole = await outputError(device, values, square);
    const lost = await outputError(device, difference, square);
    await keep(linear, { weight, relativeError: whole === 0 ? 0 : Math.max(0, lost / whole) });
  }
}
