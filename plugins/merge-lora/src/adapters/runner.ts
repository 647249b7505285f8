import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkOutputFolder, defineStepRunner, pathOrName } from '@largeforge/core';
import {
  adapterBase,
  asCausal,
  type CausalLanguageModel,
  checkModelFiles,
  type FloatDType,
  loadAdapter,
  loadModel,
  openDevice,
  readAdapter,
  readModelSource,
  savePretrained,
  withTokenizerOf,
} from '@largeforge/engine';
import { checkCalibration, gateFiles, StagedModel } from '@largeforge/optimize';
import { mergeErrors } from '../errors.js';
import { finishMerge, mergeWindows, referenceOf } from '../finish-merge.js';
import { type MergeAdapterOptions, mergeAdapterOptions } from '../options.js';
import { combineAdapters } from './combine-adapters.js';
import { dropsValues, worksOnProducts } from './methods.js';

interface WeightedAdapter {
  readonly path: string;
  readonly weight: number;
}

/** The adapters that options name, with their weights. */
function adaptersOf({ adapter }: MergeAdapterOptions): WeightedAdapter[] {
  return [adapter].flat().map((each) => (typeof each === 'string' ? { path: each, weight: 1 } : each));
}

/**
 * Adds an adapter, or several combined, to their base model: W + scale B A in f32, rounded once, one tensor at a time; and
 * compares the logits before and after.
 */
export const mergeRunner = defineStepRunner('optimize', {
  options: mergeAdapterOptions,
  outputs: ['model', 'logitDifference', 'sameBest', 'report', 'page', 'adapter'],
  inputs: (options: MergeAdapterOptions) => ({
    paths: [
      ...adaptersOf(options).map(({ path }) => path),
      ...(options.baseModel === undefined ? [] : [options.baseModel]),
      ...gateFiles(options.gate),
    ],
  }),
  async check(context, options: MergeAdapterOptions) {
    await context.backend();
    const { baseModel, outputDir, gate } = options;
    if (outputDir !== undefined && !context.comesLater(outputDir)) checkOutputFolder(context.resolvePath(outputDir));
    checkTogether(options);
    checkCalibration(context, undefined, gate);
    for (const { path } of adaptersOf(options)) {
      if (context.comesLater(path)) continue;
      const folder = context.resolvePath(path);
      if (baseModel === undefined) checkModelFiles(adapterBase(folder));
      else readAdapter(folder);
    }
    if (baseModel === undefined || context.comesLater(baseModel)) return;
    checkModelFiles(pathOrName(context.resolvePath, baseModel));
  },
  async run(context, options: MergeAdapterOptions) {
    checkTogether(options);
    const started = performance.now();
    const { signal, resolvePath } = context;
    const adapters = adaptersOf(options).map((each) => ({ ...each, path: resolvePath(each.path) }));
    const [first] = adapters as [WeightedAdapter];
    const base = options.baseModel === undefined ? adapterBase(first.path) : pathOrName(resolvePath, options.baseModel);
    const folder = options.outputDir === undefined ? context.outputDir : resolvePath(options.outputDir);
    using staged = new StagedModel(folder, base, ...adapters.map(({ path }) => path));
    const { library, threads, device: index } = await context.backend();
    const device = openDevice({ library, threads, index });
    const combined = options.adapterOutputDir
      ? resolvePath(options.adapterOutputDir)
      : mkdtempSync(join(tmpdir(), 'largeforge-adapter-'));
    try {
      const source = withTokenizerOf(first.path, readModelSource(base));
      const model = asCausal(await loadModel(device, base, { dtype: 'f32' }));
      const alone =
        adapters.length === 1 &&
        first.weight === 1 &&
        options.adapterOutputDir === undefined &&
        // Tasks are asked of the adapter as its folder describes it, whose base may be another one.
        !(options.gate.tasks && options.baseModel !== undefined);
      if (!alone)
        await combineAdapters(model, base, adapters, { ...options, weights: adapters.map((a) => a.weight) }, combined);
      const applied = alone ? first.path : combined;
      const { modules } = loadAdapter(model, applied);
      await checkFinite(model, applied);
      const windows = await mergeWindows(context, options, source, model.config.vocabSize);
      const reference = await referenceOf(model, windows, signal);
      await savePretrained(model, staged.open(), {
        dtype: options.dtype,
        mergeAdapter: true,
        finite: true,
        tokenizer: source.tokenizer,
        generationConfig: source.generationConfig,
      });
      const parameters = [...model.parameters().values()];
      const weights = parameters.reduce((sum, { elements }) => sum + elements, 0);
      const bytes = weights * WIDTHS[options.dtype];
      const outputs = await finishMerge(context, device, staged, reference, {
        started,
        scored: applied,
        method: adapters.length === 1 ? 'merge-lora' : options.method,
        model: base,
        facts: adapters.map(({ path, weight }) => ['adapter', weight === 1 ? path : `${path}, weight ${weight}`]),
        settings: { dtype: options.dtype, method: options.method, merged: `${modules.length} layers` },
        layers: [],
        sizes: { weights, bytesBefore: bytes, bytesAfter: bytes },
        gate: options.gate,
      });
      return { ...outputs, ...(options.adapterOutputDir !== undefined && { adapter: combined }) };
    } finally {
      device[Symbol.dispose]();
      if (options.adapterOutputDir === undefined && existsSync(combined)) rmSync(combined, { recursive: true });
    }
  },
});

/** Throws LF_MERGE_NOT_FINITE for the branches of an adapter. */
async function checkFinite(model: CausalLanguageModel, path: string): Promise<void> {
  for (const { name, adapter } of model.linears.values()) {
    if (!adapter) continue;
    for (const [side, factor] of Object.entries({ A: adapter.a, B: adapter.b })) {
      using copy = factor.toFloat32();
      const values = await copy.floats();
      if (!values.every(Number.isFinite))
        throw mergeErrors.LF_MERGE_NOT_FINITE({ path, tensor: `${name}.lora_${side}` });
    }
  }
}

const WIDTHS: Readonly<Record<FloatDType, number>> = { f32: 4, bf16: 2, f16: 2 };

function checkTogether(options: MergeAdapterOptions): void {
  const { method, rank } = options;
  const wrong = (reason: string) => mergeErrors.LF_MERGE_OPTIONS({ reason });
  if (rank !== undefined && !worksOnProducts(method)) throw wrong(`${method} takes no rank: that is for svd`);
  if (adaptersOf(options).length === 1 && dropsValues(method)) throw wrong(`${method} combines several adapters`);
}
