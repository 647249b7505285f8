import { join } from 'node:path';
import { pathOrName, type StepContext } from '@largeforge/core';
import {
  asCausal,
  type CausalLanguageModel,
  type Device,
  dequantize,
  type Linear,
  loadModel,
  openDevice,
  readModelSource,
  savePretrained,
  Tensor,
  type TensorToWrite,
  writeJson,
} from '@largeforge/engine';
import {
  type Comparison,
  calibrationWindows,
  compare,
  comparedWindows,
  compareScores,
  finish,
  gateScores,
  type LayerReport,
  type Observation,
  observe,
  peakMemory,
  type Sizes,
  StagedModel,
} from '@largeforge/optimize';
import { CalibrationStream, type SharedInput, type Smoothing } from './calibration/stream.js';
import { knownLoaders, layoutOf, quantizationConfig, scaleDTypeOf } from './checkpoint/format.js';
import { PackedStore } from './checkpoint/packed-store.js';
import { packedTensors } from './checkpoint/packed-tensors.js';
import { type CheckpointFormat, type LayerScheme, layerScheme, type QuantizationScheme } from './checkpoint/scheme.js';
import { checkLayers, headOf, linearsOf, planLayers } from './layers.js';
import type { QuantizationMethod, QuantizedLinear } from './method.js';
import type { QuantizeOptions } from './options.js';

/** What a method adds to the shared options. */
export interface QuantizationPlan {
  /** Of the method, in reports: "gptq". */
  readonly name: string;
  readonly bits: number;
  readonly symmetric: boolean;
  readonly format: CheckpointFormat;
  /** Whether each row of a weight has one scale, whatever the options say of groups. */
  readonly byRow?: boolean;
  /** Whether the checkpoint asks for inputs in 8 bits (`QuantizationScheme.dynamicInputs`). */
  readonly dynamicInputs?: boolean;
  /** Whether groups are runs of columns in another order than they lie in. */
  readonly ordered?: boolean;
  /** Whether inputs are compared with those in the original model (`SharedInput.shift`). */
  readonly paired?: boolean;
  readonly method: QuantizationMethod;
  /** Options of the method itself, for the report. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface QuantizationOutputs extends Readonly<Record<string, unknown>> {
  /** Folder of the quantised model. */
  readonly model: string;
  readonly report: string;
  readonly page: string;
  readonly bitsPerWeight: number;
}

/**
 * Quantises a model layer by layer: each layer is quantised on what the layers before it, quantised, make of the
 * calibration windows. The checkpoint is written beside its place, read back, compared with the original, and only then
 * put in its place, config.json last. Whatever fails, the output folder keeps what it had.
 */
export async function quantizeModel(
  context: Pick<StepContext, 'name' | 'outputDir' | 'resolvePath' | 'signal' | 'events' | 'backend' | 'kernel'>,
  options: QuantizeOptions,
  plan: QuantizationPlan,
): Promise<QuantizationOutputs> {
  const { signal } = context;
  const started = performance.now();
  const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
  const path = pathOrName(context.resolvePath, options.model);
  using staged = new StagedModel(folder, path);
  const { bits, symmetric, format, ordered = false, dynamicInputs = false } = plan;
  const asked = { bits, symmetric, format, ordered, dynamicInputs, head: options.lmHead };
  layoutOf({ ...asked, groupSize: 0, others: new Map(), kept: [] });
  const scoresBefore = await gateScores(context, path, options.gate, options.dtype);
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  try {
    const source = readModelSource(path);
    const model = asCausal(await loadModel(device, path, { dtype: options.dtype }));
    checkLayers(model);
    const linears = Array.from({ length: model.config.numLayers }, (_, layer) => linearsOf(model, layer));
    const head = options.lmHead ? headOf(model) : undefined;
    const all = [...linears.flat(), ...(head ? [head] : [])];
    const groupSize = plan.byRow ? 0 : options.groupSize;
    const { base, others, kept } = planLayers(all, { bits, symmetric, groupSize }, options.modules);
    const scheme: QuantizationScheme = {
      ...base,
      ...{ format, ordered, others, kept, dynamicInputs, head: head !== undefined },
      scaleDType: scaleDTypeOf(format, options.dtype),
    };
    layoutOf(scheme);
    const tokens = await calibrationWindows(context, options, source, model);
    const compared = await comparedWindows(context, options, source, tokens);
    const original = await observe(model, compared, signal);
    const partial = staged.open();
    using store = new PackedStore(join(partial, 'layers.bin'));
    const run = { ...context, device, model, scheme, linears, head, windows: tokens.windows, store };
    const { layers, packed } = await quantizeLayers(run, options, plan);
    await savePretrained(model, partial, {
      dtype: options.dtype,
      tokenizer: source.tokenizer,
      ...(source.generationConfig && { generationConfig: source.generationConfig }),
      quantized: { layers: packed, config: quantizationConfig(scheme) },
    });
    if (format === 'gptq') writeJson(join(partial, 'quantize_config.json'), quantizationConfig(scheme));
    store[Symbol.dispose]();
    const comparison =
      compared.length === 0
        ? undefined
        : await compareWritten(device, partial, { ...options, dynamicInputs }, compared, original, signal);
    const scoresAfter = await gateScores(context, partial, options.gate, options.dtype);
    const quantized = all.filter(({ name }) => packed.has(name));
    const sizes = sizesOf(model, quantized, packed, options.dtype);
    const files = finish(
      context,
      {
        action: 'quantised',
        method: plan.name,
        model: path,
        output: folder,
        facts: schemeFacts(scheme),
        settings: { ...scheme, others: Object.fromEntries(others), ...plan.settings },
        calibration: tokens.described,
        layers,
        sizes,
        comparison,
        tasks: compareScores(scoresBefore, scoresAfter),
        gate: options.gate,
        seconds: (performance.now() - started) / 1000,
        peakMemoryBytes: peakMemory(),
      },
      staged,
    );
    return { model: folder, ...files, bitsPerWeight: sizes.bitsPerWeight };
  } finally {
    device[Symbol.dispose]();
  }
}

/** What a reader wants to know of a scheme at once. */
function schemeFacts(scheme: QuantizationScheme): [string, string][] {
  const text = ({ bits, groupSize, symmetric }: LayerScheme) =>
    `${bits} bits, ${groupSize ? `groups of ${groupSize}` : 'a scale for each row'}, ${symmetric ? 'symmetric' : 'with zero points'}`;
  const others = new Map<string, number>();
  for (const own of scheme.others.values()) others.set(text(own), (others.get(text(own)) ?? 0) + 1);
  return [
    ['scheme', `${text(scheme)}, ${scheme.format}`],
    ...(scheme.dynamicInputs ? [['inputs', '8 bits, a scale for each token'] as [string, string]] : []),
    ...[...others].map(([name, count]): [string, string] => [`${count} layers`, name]),
    ...(scheme.kept.length > 0 ? [[`${scheme.kept.length} layers`, 'kept as they are'] as [string, string]] : []),
    ['loads in', knownLoaders(scheme)],
  ];
}

interface LayersRun extends Pick<StepContext, 'name' | 'signal' | 'events'> {
  readonly device: Device;
  readonly model: CausalLanguageModel;
  readonly scheme: QuantizationScheme;
  readonly linears: readonly (readonly Linear[])[];
  readonly head: Linear | undefined;
  readonly windows: readonly Int32Array[];
  readonly store: PackedStore;
}

async function quantizeLayers(
  { device, model, scheme, linears, head, windows, store, name, signal, events }: LayersRun,
  options: QuantizeOptions,
  { method, paired }: QuantizationPlan,
): Promise<{ layers: LayerReport[]; packed: Map<string, readonly TensorToWrite[]> }> {
  using stream = new CalibrationStream(model, windows, options.batchTokens, paired);
  const packed = new Map<string, readonly TensorToWrite[]>();
  const layers: LayerReport[] = [];
  const layout = layoutOf(scheme);
  const schemeOf = (linear: Linear) => layerScheme(scheme, linear);
  const keep = async (linear: Linear, { weight, relativeError }: QuantizedLinear) => {
    const own = { layout, ...schemeOf(linear) };
    packed.set(linear.name, await store.keep(packedTensors(linear.name, weight, own)));
    layers.push({ name: linear.name, shape: [weight.outFeatures, weight.inFeatures], relativeError });
    using values = Tensor.from(device, dequantize(weight), linear.weight.shape);
    linear.weight.assign(values);
    await device.flush();
  };
  const shared = { device, model, schemeOf, signal, keep };
  const total = linears.length + (head ? 1 : 0);
  const progress = (current: number) => events.emit({ type: 'progress', task: name, current, total, unit: 'layers' });
  for (const [layer, all] of linears.entries()) {
    signal.throwIfAborted();
    progress(layer);
    const own = all.filter((linear) => !scheme.kept.includes(linear.name));
    // Nothing reads what comes out of the last layer but the head.
    const end = head !== undefined || layer + 1 < linears.length;
    let passed = false;
    const squares = (some: readonly Linear[]) => stream.squares(layer, some, signal);
    const inParts = async (change: (input: SharedInput) => Promise<void>, smoothing?: Smoothing) => {
      await stream.advanceInParts(layer, own, change, { signal, end, ...(smoothing && { smoothing }) });
      passed = true;
    };
    if (own.length > 0) await method({ ...shared, layer, linears: own, squares, inParts });
    if (end && !passed) await stream.advance(layer, signal);
    // The packed weights are kept on the disk: memory holds one layer's values at a time.
    for (const { weight } of own) weight.dispose();
  }
  if (head) {
    progress(linears.length);
    const squares = async () => [{ linears: [head], square: await stream.headSquare(signal) }];
    const inParts = async (change: (input: SharedInput) => Promise<void>) => {
      using square = await stream.headSquare(signal);
      await change({ linears: [head], square });
    };
    await method({ ...shared, layer: undefined, linears: [head], squares, inParts });
  }
  progress(total);
  return { layers, packed };
}

/** Loads what was written, as any user would, and compares it with the original. */
async function compareWritten(
  device: Device,
  folder: string,
  { dtype, dynamicInputs }: QuantizeOptions & { readonly dynamicInputs: boolean },
  windows: readonly Int32Array[],
  original: Observation,
  signal: AbortSignal,
): Promise<Comparison> {
  // In their own bits weights are multiplied by inputs of 8 bits, as with floats they are not.
  const weights = dynamicInputs ? ({ weights: 'as-stored' } as const) : {};
  using written = asCausal(await loadModel(device, folder, { dtype, ...weights }));
  return compare(written, windows, original, signal);
}

function sizesOf(
  model: CausalLanguageModel,
  linears: readonly Linear[],
  packed: ReadonlyMap<string, readonly TensorToWrite[]>,
  dtype: 'f32' | 'bf16',
): Sizes & { bitsPerWeight: number } {
  const width = dtype === 'f32' ? 4 : 2;
  const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const widths: Readonly<Record<string, number>> = { i64: 8, i32: 4, f32: 4, f16: 2, bf16: 2, i8: 1 };
  const layerBytes = [...packed.values()]
    .flat()
    .reduce((sum, { dtype: type, shape }) => sum + elements(shape) * widths[type]!, 0);
  const layerWeights = linears.reduce((sum, { weight }) => sum + weight.elements, 0);
  const all = [...model.parameters().values()].reduce((sum, { elements: count }) => sum + count, 0);
  return {
    weights: all,
    changedWeights: layerWeights,
    bytesBefore: all * width,
    bytesAfter: (all - layerWeights) * width + layerBytes,
    bitsPerWeight: (8 * layerBytes) / layerWeights,
  };
}
