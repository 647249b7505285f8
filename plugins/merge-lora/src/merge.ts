import { checkOutputFolder, defineStepRunner, pathOrName } from '@largeforge/core';
import {
  adapterBase,
  asCausal,
  type CausalLanguageModel,
  checkModelFiles,
  type Device,
  loadAdapter,
  loadModel,
  openDevice,
  packSequences,
  readAdapter,
  readModelSource,
  savePretrained,
  scope,
  Tokenizer,
  withTokenizerOf,
} from '@largeforge/engine';
import { z } from 'zod';

export const mergeOptions = z.strictObject({
  baseModel: z
    .string()
    .min(1)
    .optional()
    .describe('folder, .gguf file or cached name; that of the adapter unless given'),
  adapter: z.string().min(1).describe('folder of a PEFT LoRA adapter'),
  outputDir: z.string().min(1).optional().describe('where the merged model goes'),
  dtype: z.enum(['f32', 'bf16', 'f16']).default('bf16').describe('precision of the merged weights'),
});

export type MergeOptions = z.output<typeof mergeOptions>;

/** A text that any model has an opinion of: what merging changes of the logits is measured on it. */
const PROBE = 'The quick brown fox jumps over the lazy dog. In 1969, two people walked on the Moon;';

interface LogitDifference {
  /** Largest difference of a logit, as a share of the largest logit. */
  readonly relative: number;
  /** Share of positions whose most likely token stayed the same. */
  readonly sameBest: number;
}

/** Adds an adapter to its base model: W + scale B A in f32, rounded once, and compares the logits before and after. */
export const mergeRunner = defineStepRunner('optimize', {
  options: mergeOptions,
  outputs: ['model', 'logitDifference', 'sameBest'],
  inputs: ({ baseModel, adapter }: MergeOptions) => ({
    paths: [adapter, ...(baseModel === undefined ? [] : [baseModel])],
  }),
  async check(context, { adapter, baseModel, outputDir }: MergeOptions) {
    await context.backend();
    if (outputDir !== undefined && !context.comesLater(outputDir)) checkOutputFolder(context.resolvePath(outputDir));
    if (!context.comesLater(adapter)) {
      const folder = context.resolvePath(adapter);
      if (baseModel === undefined) checkModelFiles(adapterBase(folder));
      else readAdapter(folder);
    }
    if (baseModel === undefined || context.comesLater(baseModel)) return;
    checkModelFiles(pathOrName(context.resolvePath, baseModel));
  },
  async run(context, options: MergeOptions) {
    const adapter = context.resolvePath(options.adapter);
    const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
    const base =
      options.baseModel === undefined ? adapterBase(adapter) : pathOrName(context.resolvePath, options.baseModel);
    const { library, threads, device: index } = await context.backend();
    const device = openDevice({ library, threads, index });
    try {
      const source = withTokenizerOf(adapter, readModelSource(base));
      const tokenizer = source.tokenizer ? Tokenizer.of(source) : undefined;
      const model = asCausal(await loadModel(device, base, { dtype: 'f32' }));
      await loadAdapter(model, adapter);
      const { vocabSize } = model.config;
      const probe = tokenizer
        ? await tokenizer.encode(PROBE)
        : Int32Array.from({ length: 32 }, (_, i) => (i * 37) % vocabSize);
      const before = await logitsOf(model, probe);
      await savePretrained(model, folder, {
        dtype: options.dtype,
        mergeAdapter: true,
        tokenizer: source.tokenizer,
        generationConfig: source.generationConfig,
      });
      model.dispose();
      const difference = await compare(device, folder, probe, before, vocabSize);
      context.events.emit({
        type: 'table',
        task: context.name,
        columns: ['merged', 'precision', 'largest logit difference', 'same best token'],
        rows: [
          [
            folder,
            options.dtype,
            `${(100 * difference.relative).toFixed(3)} %`,
            `${(100 * difference.sameBest).toFixed(1)} %`,
          ],
        ],
      });
      return { model: folder, logitDifference: difference.relative, sameBest: difference.sameBest };
    } finally {
      device[Symbol.dispose]();
    }
  },
});

function logitsOf(model: CausalLanguageModel, tokens: Int32Array): Promise<Float32Array> {
  return scope(() => model.logits(model.hidden(packSequences([tokens])))).floats();
}

async function compare(
  device: Device,
  folder: string,
  probe: Int32Array,
  before: Float32Array,
  vocabSize: number,
): Promise<LogitDifference> {
  const merged = asCausal(await loadModel(device, folder, { dtype: 'f32' }));
  const after = await logitsOf(merged, probe);
  merged.dispose();
  let difference = 0;
  let largest = 0;
  let same = 0;
  for (let row = 0; row < probe.length; row++) {
    let best = 0;
    let bestAfter = 0;
    for (let token = 0; token < vocabSize; token++) {
      const at = row * vocabSize;
      difference = Math.max(difference, Math.abs(before[at + token]! - after[at + token]!));
      largest = Math.max(largest, Math.abs(before[at + token]!));
      if (before[at + token]! > before[at + best]!) best = token;
      if (after[at + token]! > after[at + bestAfter]!) bestAfter = token;
    }
    if (best === bestAfter) same++;
  }
  return { relative: largest === 0 ? 0 : difference / largest, sameBest: same / probe.length };
}
