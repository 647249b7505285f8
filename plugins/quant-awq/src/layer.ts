import { commands, dequantize, type Linear, type QuantizedWeight, scope, Tensor } from '@largeforge/engine';
import {
  compensate,
  correctedWeight,
  deviceWeight,
  disposeInput,
  foldingOf,
  type LayerTask,
  prepare,
  quadraticForm,
  quantizeErrors,
  roundToNearest,
  type SharedInput,
  scaleColumns,
  spread,
} from '@largeforge/quantize';
import { searchScales } from './scale-search.js';

export interface AwqSettings {
  readonly clip: boolean;
  readonly steps: number;
  readonly rounding: 'compensated' | 'nearest';
  readonly sweeps: number;
  /** Share of the drift of a layer's inputs that its weights make up for, with compensated rounding. */
  readonly driftCorrection: number;
}

export async function awqLayer(task: LayerTask, settings: AwqSettings): Promise<void> {
  const { linears, squares } = task;
  const inputs = await squares(linears);
  try {
    // All scales first: folding them changes weights that other groups of the layer quantise.
    for (const input of inputs) await scaleInputs(task, input, settings);
    for (const input of inputs) await roundLayers(task, input, settings);
  } finally {
    for (const input of inputs) disposeInput(input);
  }
}

/** Scales the inputs of layers where that pays. X^T X follows, and what the inputs have drifted. */
async function scaleInputs(
  { device, model, layer, schemeOf, signal }: LayerTask,
  { linears, square, shift, shiftSquare }: SharedInput,
  { steps }: AwqSettings,
): Promise<void> {
  signal.throwIfAborted();
  const k = square.shape[0]!;
  using view = square.view([k], [k + 1]);
  if (!(await view.floats()).every(Number.isFinite)) {
    throw quantizeErrors.LF_QUANTIZE_ACTIVATIONS({ layer: linears[0]!.name });
  }
  const folding = layer === undefined ? undefined : foldingOf(model, layer, linears);
  if (!folding) return;
  const weights: { weight: Tensor; grid: ReturnType<typeof schemeOf> & { search: boolean } }[] = [];
  try {
    for (const linear of linears) {
      weights.push({ weight: await deviceWeight(linear), grid: { ...schemeOf(linear), search: false } });
    }
    const { scales, gain } = await searchScales(device, weights, square, folding, steps);
    if (gain >= 1) return;
    const columns = spread(await folding.divide(scales), folding.channelOf);
    for (const [i, linear] of linears.entries()) {
      scaleColumns(weights[i]!.weight, columns);
      linear.weight.assign(weights[i]!.weight);
    }
    const inverse = columns.map((scale) => 1 / scale);
    for (const matrix of [square, shift, shiftSquare]) {
      if (!matrix) continue;
      scaleColumns(matrix, inverse);
      using turned = matrix.view([k, k], [1, k]);
      scaleColumns(turned, inverse);
    }
    await device.flush();
  } finally {
    for (const { weight } of weights) weight.dispose();
  }
}

async function roundLayers(task: LayerTask, input: SharedInput, settings: AwqSettings): Promise<void> {
  const { keep, signal } = task;
  for (const linear of input.linears) {
    signal.throwIfAborted();
    using weight = await deviceWeight(linear);
    await keep(
      linear,
      await (settings.rounding === 'nearest' ? nearest : compensated)(task, linear, weight, input, settings),
    );
  }
}

type Rounded = Promise<{ weight: QuantizedWeight; relativeError: number }>;

async function compensated(
  { device, schemeOf }: LayerTask,
  linear: Linear,
  weight: Tensor,
  { square, shift, shiftSquare }: SharedInput,
  { clip, sweeps, driftCorrection }: AwqSettings,
): Rounded {
  const fixed = { actOrder: true, staticGroups: true, damping: 0.01, blockSize: 128 };
  const options = { ...schemeOf(linear), ...fixed, search: clip, sweeps };
  using ready = await prepare(device, linear.name, square, options);
  using drifted = shiftSquare && (await prepare(device, linear.name, shiftSquare, options));
  using wanted = shift ? correctedWeight(weight, shift, drifted ?? ready, driftCorrection) : weight.retain();
  return await compensate(device, wanted, ready, options);
}

async function nearest(
  { device, schemeOf }: LayerTask,
  linear: Linear,
  weight: Tensor,
  { square }: SharedInput,
  { clip }: AwqSettings,
): Rounded {
  const k = linear.inFeatures;
  using importance = square.view([k], [k + 1]);
  const quantized = await roundToNearest(weight, { ...schemeOf(linear), search: clip }, importance);
  using difference = Tensor.from(device, dequantize(quantized), weight.shape);
  scope(() => commands.binary(device.recorder, 'sub', difference, weight, difference));
  const whole = await quadraticForm(weight, square);
  const lost = await quadraticForm(difference, square);
  return { weight: quantized, relativeError: whole === 0 ? 0 : Math.max(0, lost / whole) };
}
