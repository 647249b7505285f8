import { type Linear, parameterToWrite, Tensor, type TensorToWrite } from '@largeforge/engine';
import type { LayerReport } from '@largeforge/optimize';
import { CalibrationStream, finiteWeight, linearsOf, outputError } from '@largeforge/quantize';
import { pruneErrors } from '../errors.js';
import type { SparseOptions } from '../options.js';
import type { Pruned, PruneRun } from '../pruned-model.js';
import { type Amount, magnitudeMask } from './magnitude.js';
import { parsePattern } from './mask.js';
import { prepareHessian, sparseGpt } from './sparsegpt.js';
import { wandaMask } from './wanda.js';

/** What decides which weights go. */
export type SparseSettings = Pick<SparseOptions, 'method' | 'sparsity' | 'pattern' | 'damping'>;

/**
 * Prunes the linear layers of a model, layer by layer, each on what the layers before it, pruned, make of the calibration
 * windows. Without windows (magnitude alone needs none) nothing is run.
 * @throws LF_PRUNE_UNSUPPORTED_MODEL, _PATTERN, _ACTIVATIONS; LF_QUANTIZE_WEIGHT_NOT_FINITE
 */
export async function pruneWeights(run: PruneRun, settings: SparseSettings): Promise<Pruned> {
  const { device, model, calibration, batchTokens, dtype, signal, keep, onLayer } = run;
  if (model.config.experts) {
    throw pruneErrors.LF_PRUNE_UNSUPPORTED_MODEL({ what: `${model.config.modelType} has layers with experts` });
  }
  const pattern = settings.pattern === undefined ? undefined : parsePattern(settings.pattern);
  const amount: Amount = { sparsity: settings.sparsity, pattern };
  for (const { name, inFeatures } of model.linears.values()) {
    if (pattern && inFeatures % pattern.of !== 0) {
      throw pruneErrors.LF_PRUNE_PATTERN({ pattern: settings.pattern!, layer: name, width: inFeatures });
    }
  }
  const kept = new Map<string, TensorToWrite>();
  const layers: LayerReport[] = [];
  // Magnitude looks at no inputs, whatever else the text is for.
  const windows = settings.method === 'magnitude' ? undefined : calibration?.windows;
  using stream = windows && new CalibrationStream(model, windows, batchTokens);
  const finishLinear = async (linear: Linear, values: Float32Array, square: Tensor | undefined) => {
    const { name, weight, inFeatures, outFeatures } = linear;
    const before = await finiteWeight(linear);
    const lost = before.map((value, i) => value - values[i]!);
    const whole = square && (await outputError(device, before, square));
    const relativeError = square && whole ? (await outputError(device, lost, square)) / whole : undefined;
    const zeros = values.reduce((sum, value) => sum + (value === 0 ? 1 : 0), 0);
    layers.push({ name, shape: [outFeatures, inFeatures], relativeError, sparsity: zeros / values.length });
    const own = () => Tensor.from(device, values, weight.shape);
    const [stored] = await keep([parameterToWrite(`${name}.weight`, weight, dtype, own)]);
    kept.set(`${name}.weight`, stored!);
    using pruned = own();
    weight.assign(pruned);
    await device.flush();
  };
  const { numLayers } = model.config;
  for (let layer = 0; layer < numLayers; layer++) {
    signal.throwIfAborted();
    onLayer(layer, numLayers);
    const linears = linearsOf(model, layer);
    const inputs: readonly Inputs[] = !stream
      ? linears.map((linear) => ({ linears: [linear] }))
      : settings.method === 'wanda'
        ? await stream.columnSquares(layer, linears, signal)
        : await stream.squares(layer, linears, signal);
    try {
      for (const input of inputs) {
        signal.throwIfAborted();
        for (const [linear, values] of await pruneShared(run, input, settings, amount)) {
          await finishLinear(linear, values, input.square);
        }
      }
    } finally {
      for (const { square } of inputs) square?.dispose();
    }
    // Nothing reads what comes out of the last layer.
    if (layer + 1 < numLayers) await stream?.advance(layer, signal);
    // What is left is on the disk: memory holds one layer's values at a time.
    for (const { weight } of linears) weight.dispose();
  }
  onLayer(numLayers, numLayers);
  const tensors = [...model.parameters()].map(
    ([name, parameter]) => kept.get(name) ?? parameterToWrite(name, parameter, dtype),
  );
  const { quantization_config: _, ...config } = model.config.raw;
  const zeros = layers.reduce((sum, { shape: [n, k], sparsity = 0 }) => sum + n * k * sparsity, 0);
  const all = layers.reduce((sum, { shape: [n, k] }) => sum + n * k, 0);
  const share = `${((100 * zeros) / all).toFixed(2)} % of ${(all / 1e6).toFixed(1)} M weights in ${layers.length} layers`;
  return { tensors, config, layers, facts: [['zeros', share]] };
}

/** Layers that read the same input, and what the method needs to know of it: X^T X, or the sums of squares of its columns. */
interface Inputs {
  readonly linears: readonly Linear[];
  readonly square?: Tensor;
  readonly sizes?: Float32Array;
}

/** Prunes layers that read the same input. */
async function pruneShared(
  { device }: PruneRun,
  { linears, square, sizes }: Inputs,
  { method, damping }: SparseSettings,
  amount: Amount,
): Promise<Map<Linear, Float32Array>> {
  const out = new Map<Linear, Float32Array>();
  const masked = (values: Float32Array, mask: Uint8Array) => values.map((value, i) => (mask[i] ? 0 : value));
  if (method === 'magnitude') {
    for (const linear of linears) {
      const values = await finiteWeight(linear);
      out.set(linear, masked(values, magnitudeMask(values, linear.inFeatures, amount)));
    }
    return out;
  }
  const [{ name }] = linears as readonly [Linear];
  if (method === 'wanda') {
    const squares = Float64Array.from(sizes!);
    if (!squares.every(Number.isFinite)) throw pruneErrors.LF_PRUNE_ACTIVATIONS({ layer: name });
    for (const linear of linears) {
      const values = await finiteWeight(linear);
      out.set(linear, masked(values, wandaMask(values, squares, amount)));
    }
    return out;
  }
  using prepared = await prepareHessian(device, name, await square!.floats(), { damping, pattern: amount.pattern });
  for (const linear of linears) {
    const values = await finiteWeight(linear);
    await sparseGpt(device, values, prepared, amount);
    out.set(linear, values);
  }
  return out;
}
