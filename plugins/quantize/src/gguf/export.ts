import { join } from 'node:path';
import { pathOrName, type StepContext } from '@largeforge/core';
import {
  asCausal,
  byteLength,
  type CausalLanguageModel,
  type GgufEntry,
  ggufArchitecture,
  ggufMetadata,
  ggufTokenizerMetadata,
  loadModel,
  type ModelSource,
  openDevice,
  readModelSource,
  writeGguf,
} from '@largeforge/engine';
import {
  type CalibrationTokens,
  calibrationWindows,
  compare,
  comparedWindows,
  compareScores,
  finish,
  gateScores,
  observe,
  peakMemory,
  StagedModel,
} from '@largeforge/optimize';
import { FILE_TYPES } from './block-types.js';
import { inputImportance } from './importance.js';
import type { GgufOptions } from './runner.js';
import { type GgufTensorPlan, ggufTensors } from './tensors.js';

type RunContext = Pick<StepContext, 'name' | 'outputDir' | 'resolvePath' | 'signal' | 'events' | 'backend' | 'kernel'>;

/**
 * Writes a model as one GGUF file, compares what it reads back as with the original, and puts it in its place if its gate
 * lets it.
 */
export async function exportGguf(
  context: RunContext,
  options: GgufOptions,
  { folder, file }: { readonly folder: string; readonly file: string },
): Promise<Record<string, unknown>> {
  const { signal } = context;
  const started = performance.now();
  const path = pathOrName(context.resolvePath, options.model);
  using staged = new StagedModel(folder, path, file);
  const scoresBefore = await gateScores(context, path, options.gate, options.dtype);
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  try {
    const source = readModelSource(path);
    const model = asCausal(await loadModel(device, path, { dtype: options.dtype }));
    const architecture = ggufArchitecture(path, model.config.raw);
    const metadata = metadataOf(path, source, model, architecture, options);
    const tokens = await calibrationOf(context, options, source, model);
    const compared = await comparedWindows(context, options, source, tokens);
    const original = await observe(model, compared, signal);
    const importance = tokens ? await importanceOf(context, model, tokens, options) : new Map<string, Float32Array>();
    const plans = ggufTensors(model, architecture, options.type, importance);
    const written = join(staged.open(), 'model.gguf');
    await writeGguf(
      written,
      metadata,
      plans.map(({ tensor }) => tensor),
    );
    const comparison = await (async () => {
      if (compared.length === 0) return undefined;
      using again = asCausal(await loadModel(device, written, { dtype: options.dtype }));
      return await compare(again, compared, original, signal);
    })();
    const scoresAfter = await gateScores(context, written, options.gate, options.dtype);
    const sizes = sizesOf(plans, options.dtype);
    const files = finish(
      context,
      {
        ...{ action: 'quantised', method: 'gguf', model: path, output: folder, layers: [], sizes, comparison },
        facts: factsOf(plans, options.type, tokens !== undefined),
        settings: { type: options.type, importance: tokens !== undefined },
        ...(tokens && { calibration: tokens.described }),
        tasks: compareScores(scoresBefore, scoresAfter),
        gate: options.gate,
        seconds: (performance.now() - started) / 1000,
        peakMemoryBytes: peakMemory(),
      },
      staged,
    );
    return { model: file, ...files, bitsPerWeight: sizes.bitsPerWeight };
  } finally {
    device[Symbol.dispose]();
  }
}

function metadataOf(
  path: string,
  source: ModelSource,
  model: CausalLanguageModel,
  architecture: string,
  { type }: GgufOptions,
): Map<string, GgufEntry> {
  return new Map<string, GgufEntry>([
    ...ggufMetadata(architecture, model.config.raw),
    ['general.file_type', { type: 'u32', value: FILE_TYPES[type] }],
    ['general.quantization_version', { type: 'u32', value: 2 }],
    ...(source.tokenizer ? ggufTokenizerMetadata(path, source.tokenizer, model.config.vocabSize) : []),
  ]);
}

async function calibrationOf(
  context: RunContext,
  { calibration, ...options }: GgufOptions,
  source: ModelSource,
  model: CausalLanguageModel,
): Promise<CalibrationTokens | undefined> {
  return calibration === undefined
    ? undefined
    : calibrationWindows(context, { ...options, calibration }, source, model);
}

function importanceOf(
  { name, events, signal }: RunContext,
  model: CausalLanguageModel,
  { windows }: CalibrationTokens,
  { batchTokens }: GgufOptions,
): Promise<Map<string, Float32Array>> {
  const total = model.config.numLayers;
  const progress = (current: number) => events.emit({ type: 'progress', task: name, current, total, unit: 'layers' });
  return inputImportance(model, windows, { batchTokens, signal, progress });
}

/** Which types tensors got, and which of them because of their width. */
function factsOf(plans: readonly GgufTensorPlan[], recipe: string, calibrated: boolean): [string, string][] {
  const counts = new Map<string, number>();
  for (const { tensor, instead } of plans) {
    const name = instead ? `${tensor.dtype} instead of ${instead}, for a width that 256 does not divide` : tensor.dtype;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const types = [...counts].map(([name, count]) => `${count} ${name}`).join('; ');
  return [
    ['scheme', `${recipe}${calibrated ? ', weighed by the calibration text' : ''}`],
    ['tensors', types],
    ['loads in', 'llama.cpp and what is built on it, largeforge'],
  ];
}

function sizesOf(plans: readonly GgufTensorPlan[], dtype: 'f32' | 'bf16') {
  const bytes = (some: readonly GgufTensorPlan[]) =>
    some.reduce((sum, { tensor }) => sum + byteLength(tensor.dtype, tensor.shape), 0);
  const count = (some: readonly GgufTensorPlan[]) => some.reduce((sum, { elements }) => sum + elements, 0);
  const matrices = plans.filter(({ tensor }) => tensor.shape.length > 1);
  return {
    weights: count(plans),
    changedWeights: count(matrices),
    bytesBefore: count(plans) * (dtype === 'f32' ? 4 : 2),
    bytesAfter: bytes(plans),
    bitsPerWeight: (8 * bytes(matrices)) / count(matrices),
  };
}
