import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathOrName, type StepContext } from '@largeforge/core';
import {
  asCausal,
  type CausalLanguageModel,
  type Device,
  dequantize,
  type Linear,
  loadModel,
  type ModelSource,
  openDevice,
  readModelSource,
  savePretrained,
  Tensor,
  type TensorToWrite,
  Tokenizer,
} from '@largeforge/engine';
import { CalibrationStream } from './calibration/stream.js';
import { type CalibrationTokens, readCalibration } from './calibration/text.js';
import {
  type CheckpointFormat,
  layoutOf,
  packedTensors,
  type QuantizationScheme,
  quantizationConfig,
  scaleDTypeOf,
} from './checkpoint/format.js';
import { PackedStore } from './checkpoint/packed-store.js';
import { quantizeErrors } from './errors.js';
import { gateFailures } from './gate.js';
import { checkLayers, chooseGroupSize, linearsOf } from './layers.js';
import { type Comparison, compare, hiddenStates } from './measure.js';
import type { QuantizationMethod, QuantizedLinear } from './method.js';
import type { QuantizeOptions } from './options.js';
import { type LayerReport, type QuantizationReport, writeReport } from './report.js';

/** What a method adds to the shared options. */
export interface QuantizationPlan {
  /** Of the method, in reports: "gptq". */
  readonly name: string;
  readonly bits: number;
  readonly symmetric: boolean;
  readonly format: CheckpointFormat;
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
  context: Pick<StepContext, 'name' | 'outputDir' | 'resolvePath' | 'signal' | 'events' | 'backend'>,
  options: QuantizeOptions,
  plan: QuantizationPlan,
): Promise<QuantizationOutputs> {
  const { signal } = context;
  const started = performance.now();
  const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
  const path = pathOrName(context.resolvePath, options.model);
  if (existsSync(path) && existsSync(folder) && realpathSync(path) === realpathSync(folder)) {
    throw quantizeErrors.LF_QUANTIZE_SAME_FOLDER({ folder });
  }
  layoutOf(plan);
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  const partial = join(folder, `.quantizing-${process.pid}`);
  const existed = existsSync(folder);
  try {
    const source = readModelSource(path);
    if (!source.tokenizer) throw quantizeErrors.LF_QUANTIZE_NO_TOKENIZER({ model: path });
    const model = asCausal(await loadModel(device, path, { dtype: options.dtype }));
    checkLayers(model);
    const { bits, symmetric, format } = plan;
    const linears = Array.from({ length: model.config.numLayers }, (_, layer) => linearsOf(model, layer));
    const groupSize = chooseGroupSize(linears.flat(), bits, options.groupSize);
    const scheme: QuantizationScheme = {
      format,
      bits,
      groupSize,
      symmetric,
      scaleDType: scaleDTypeOf(format, options.dtype),
    };
    const tokens = await calibrationTokens(context, options, source, model);
    const compared = await comparedWindows(context, options, source, tokens);
    const original = await hiddenStates(model, compared, signal);
    mkdirSync(partial, { recursive: true });
    using store = new PackedStore(join(partial, 'layers.bin'));
    const run = { ...context, device, model, scheme, linears, windows: tokens.windows, store };
    const { layers, packed } = await quantizeLayers(run, options, plan.method);
    await savePretrained(model, partial, {
      dtype: options.dtype,
      tokenizer: source.tokenizer,
      ...(source.generationConfig && { generationConfig: source.generationConfig }),
      quantized: { layers: packed, config: quantizationConfig(scheme, ['lm_head']) },
    });
    const comparison =
      compared.length === 0 ? undefined : await compareWritten(device, partial, options, compared, original, signal);
    const seconds = (performance.now() - started) / 1000;
    const report: QuantizationReport = {
      method: plan.name,
      model: path,
      output: folder,
      scheme,
      settings: plan.settings,
      calibration: {
        file: options.calibration,
        windows: tokens.windows.length,
        sequenceLength: options.sequenceLength,
      },
      layers,
      sizes: sizesOf(model, linears.flat(), packed, options.dtype),
      comparison,
      gate: options.gate,
      failures: gateFailures(comparison, options.gate),
      seconds,
      peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    };
    return finish(context, report, partial, folder, store);
  } finally {
    device[Symbol.dispose]();
    rmSync(partial, { recursive: true, force: true });
    if (!existed && existsSync(folder) && readdirSync(folder).length === 0) rmSync(folder, { recursive: true });
  }
}

/** Puts a checkpoint that passed its gate in its place, and tells of it; or tells why it was not kept. */
function finish(
  context: Pick<StepContext, 'name' | 'events'>,
  report: QuantizationReport,
  partial: string,
  folder: string,
  store: PackedStore,
): QuantizationOutputs {
  store[Symbol.dispose]();
  if (report.failures.length > 0) {
    const { report: file } = writeReport(context, report, `${folder}-rejected`);
    throw quantizeErrors.LF_QUANTIZE_GATE({ failures: report.failures, report: file });
  }
  // A config.json of before would describe the new weights wrongly; with none the folder is no model.
  rmSync(join(folder, 'config.json'), { force: true });
  const names = readdirSync(partial).filter((name) => name !== 'config.json');
  for (const name of [...names, 'config.json']) renameSync(join(partial, name), join(folder, name));
  const { report: file, page } = writeReport(context, report, folder);
  return { model: folder, report: file, page, bitsPerWeight: report.sizes.bitsPerWeight };
}

async function calibrationTokens(
  context: Pick<StepContext, 'resolvePath'>,
  options: QuantizeOptions,
  source: ModelSource,
  model: CausalLanguageModel,
): Promise<CalibrationTokens> {
  const { sequenceLength: length } = options;
  const limit = model.config.maxPositions;
  if (length > limit) throw quantizeErrors.LF_QUANTIZE_SEQUENCE_LENGTH({ length, limit });
  return readCalibration(context.resolvePath(options.calibration), Tokenizer.of(source), options);
}

/** Windows that the models are compared on. */
async function comparedWindows(
  context: Pick<StepContext, 'resolvePath'>,
  { gate, sequenceLength }: QuantizeOptions,
  source: ModelSource,
  { rest }: CalibrationTokens,
): Promise<Int32Array[]> {
  const { dataset, windows } = gate;
  if (dataset === undefined) {
    const asked = gate.maxKl !== undefined || gate.maxPerplexityRatio !== undefined || gate.minTop1 !== undefined;
    if (asked && rest.length === 0) {
      const reason =
        'the gate has limits, but the calibration text has no windows left to compare on, and gate.dataset is not given';
      throw quantizeErrors.LF_QUANTIZE_FORMAT({ reason });
    }
    return rest.slice(0, windows);
  }
  const file = context.resolvePath(dataset);
  const all = await readCalibration(file, Tokenizer.of(source), { samples: 1, sequenceLength });
  return [...all.windows, ...all.rest].slice(0, windows);
}

interface LayersRun extends Pick<StepContext, 'name' | 'signal' | 'events'> {
  readonly device: Device;
  readonly model: CausalLanguageModel;
  readonly scheme: QuantizationScheme;
  readonly linears: readonly (readonly Linear[])[];
  readonly windows: readonly Int32Array[];
  readonly store: PackedStore;
}

async function quantizeLayers(
  { device, model, scheme, linears, windows, store, name, signal, events }: LayersRun,
  options: QuantizeOptions,
  method: QuantizationMethod,
): Promise<{ layers: LayerReport[]; packed: Map<string, readonly TensorToWrite[]> }> {
  using stream = new CalibrationStream(model, windows, options.batchTokens);
  const packed = new Map<string, readonly TensorToWrite[]>();
  const layers: LayerReport[] = [];
  const keep = async (linear: Linear, { weight, relativeError }: QuantizedLinear) => {
    packed.set(linear.name, await store.keep(packedTensors(linear.name, weight, scheme)));
    layers.push({ name: linear.name, shape: [weight.outFeatures, weight.inFeatures], relativeError });
    using values = Tensor.from(device, dequantize(weight), linear.weight.shape);
    linear.weight.assign(values);
    await device.flush();
  };
  for (const [layer, own] of linears.entries()) {
    signal.throwIfAborted();
    events.emit({ type: 'progress', task: name, current: layer, total: linears.length, unit: 'layers' });
    await method({ device, model, layer, linears: own, stream, scheme, signal, keep });
    await stream.advance(layer, signal);
    // The packed weights are kept on the disk: memory holds one layer's values at a time.
    for (const { weight } of own) weight.dispose();
  }
  events.emit({ type: 'progress', task: name, current: linears.length, total: linears.length, unit: 'layers' });
  return { layers, packed };
}

/** Loads what was written, as any user would, and compares it with the original. */
async function compareWritten(
  device: Device,
  folder: string,
  { dtype }: QuantizeOptions,
  windows: readonly Int32Array[],
  original: readonly Float32Array[],
  signal: AbortSignal,
): Promise<Comparison> {
  using written = asCausal(await loadModel(device, folder, { dtype }));
  return compare(written, windows, original, signal);
}

function sizesOf(
  model: CausalLanguageModel,
  linears: readonly Linear[],
  packed: ReadonlyMap<string, readonly TensorToWrite[]>,
  dtype: 'f32' | 'bf16',
): QuantizationReport['sizes'] {
  const width = dtype === 'f32' ? 4 : 2;
  const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const widths: Readonly<Record<string, number>> = { i64: 8, i32: 4, f32: 4, f16: 2, bf16: 2 };
  const layerBytes = [...packed.values()]
    .flat()
    .reduce((sum, { dtype: type, shape }) => sum + elements(shape) * widths[type]!, 0);
  const layerWeights = linears.reduce((sum, { weight }) => sum + weight.elements, 0);
  const all = [...model.parameters().values()].reduce((sum, { elements: count }) => sum + count, 0);
  return {
    weights: all,
    quantizedWeights: layerWeights,
    bytesBefore: all * width,
    bytesAfter: (all - layerWeights) * width + layerBytes,
    bitsPerWeight: (8 * layerBytes) / layerWeights,
  };
}
