import { join } from 'node:path';
import { pathOrName, type StepContext } from '@largeforge/core';
import {
  asCausal,
  type CausalLanguageModel,
  type Device,
  loadModel,
  loadModelFiles,
  type ModelSource,
  openDevice,
  readModelSource,
  type TensorToWrite,
  writePretrained,
} from '@largeforge/engine';
import {
  type CalibrationSettings,
  type CalibrationTokens,
  calibrationWindows,
  compare,
  comparedWindows,
  compareScores,
  finish,
  type GateOptions,
  gateScores,
  type LayerReport,
  observe,
  peakMemory,
  StagedModel,
} from '@largeforge/optimize';
import { PackedStore } from '@largeforge/quantize';

export type PruneContext = Pick<
  StepContext,
  'name' | 'outputDir' | 'resolvePath' | 'signal' | 'events' | 'backend' | 'kernel'
>;

/** A model on its way through a method, layer by layer. */
export interface PruneRun {
  readonly device: Device;
  readonly model: CausalLanguageModel;
  readonly source: ModelSource;
  readonly calibration: CalibrationTokens | undefined;
  readonly batchTokens: number;
  readonly dtype: 'f32' | 'bf16';
  readonly signal: AbortSignal;
  /** Takes the tensors of a layer that is done out of memory. */
  keep(tensors: readonly TensorToWrite[]): Promise<TensorToWrite[]>;
  onLayer(done: number, total: number): void;
}

/** What a method made of a model. */
export interface Pruned {
  readonly tensors: readonly TensorToWrite[];
  /** config.json */
  readonly config: Readonly<Record<string, unknown>>;
  readonly layers: readonly LayerReport[];
  readonly facts: readonly (readonly [name: string, value: string])[];
}

interface SharedOptions extends Omit<CalibrationSettings, 'calibration'> {
  readonly model: string;
  readonly outputDir?: string | undefined;
  readonly calibration?: CalibrationSettings['calibration'] | undefined;
  readonly batchTokens: number;
  readonly dtype: 'f32' | 'bf16';
  readonly gate: GateOptions;
}

export interface PruneOutputs extends Readonly<Record<string, unknown>> {
  readonly model: string;
  readonly report: string;
  readonly page: string;
  /** Share of the original's weights that are gone, or 0. */
  readonly sparsity: number;
}

/**
 * Prunes a model by `method`, writes it beside its place, compares it with the original as anybody would load it, and puts it in
 * its place if its gate lets it pass.
 */
export async function pruneModel(
  context: PruneContext,
  options: SharedOptions,
  name: string,
  settings: Readonly<Record<string, unknown>>,
  method: (run: PruneRun) => Promise<Pruned>,
): Promise<PruneOutputs> {
  const started = performance.now();
  const { signal, resolvePath } = context;
  const { dtype, gate, batchTokens, calibration } = options;
  const path = pathOrName(resolvePath, options.model);
  const folder = options.outputDir === undefined ? context.outputDir : resolvePath(options.outputDir);
  using staged = new StagedModel(folder, path);
  const scoresBefore = await gateScores(context, path, gate, dtype);
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  try {
    const source = readModelSource(path);
    const model = asCausal(loadModelFiles(device, source, { dtype }));
    const weightsBefore = [...model.parameters().values()].reduce((sum, { elements }) => sum + elements, 0);
    const tokens =
      calibration === undefined
        ? undefined
        : await calibrationWindows(context, { ...options, calibration }, source, model);
    const compared = await comparedWindows(context, options, source, tokens);
    const original = await observe(model, compared, signal);
    const partial = staged.open();
    using store = new PackedStore(join(partial, 'layers.bin'));
    const pruned = await method({
      device,
      model,
      source,
      calibration: tokens,
      batchTokens,
      dtype,
      signal,
      keep: (tensors) => store.keep(tensors),
      onLayer: (current, total) =>
        context.events.emit({ type: 'progress', task: context.name, current, total, unit: 'layers' }),
    });
    const { tokenizer, generationConfig } = source;
    const files = { config: pruned.config, dtype, tokenizer, generationConfig, finite: true };
    await writePretrained(partial, pruned.tensors, files);
    store[Symbol.dispose]();
    using written = asCausal(await loadModel(device, partial, { dtype }));
    const comparison = compared.length === 0 ? undefined : await compare(written, compared, original, signal);
    const scoresAfter = await gateScores(context, partial, gate, dtype);
    const weights = pruned.tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const zeros = pruned.layers.reduce((sum, { shape: [n, k], sparsity = 0 }) => sum + n * k * sparsity, 0);
    const width = dtype === 'f32' ? 4 : 2;
    const reports = finish(
      context,
      {
        action: 'pruned',
        method: name,
        model: path,
        output: folder,
        facts: pruned.facts,
        settings: { ...settings, dtype },
        ...(tokens && { calibration: tokens.described }),
        layers: pruned.layers,
        sizes: { weights, weightsBefore, bytesBefore: weightsBefore * width, bytesAfter: weights * width },
        comparison,
        tasks: compareScores(scoresBefore, scoresAfter),
        gate,
        seconds: (performance.now() - started) / 1000,
        peakMemoryBytes: peakMemory(),
      },
      staged,
    );
    return { model: folder, ...reports, sparsity: 1 - (weights - zeros) / weightsBefore };
  } finally {
    device[Symbol.dispose]();
  }
}
