import { join } from 'node:path';
import { defineStepRunner } from '@largeforge/core';
import { type SequenceScore, SequenceScorer, writeJson } from '@largeforge/engine';
import { z } from 'zod';
import { evaluateErrors } from '../errors.js';
import { checkModel, type LocalModel, openLocalModel } from '../local-model.js';
import { type PerplexityFigures, perplexityFigures, textSize } from './figures.js';
import { readText } from './text.js';
import { stridedWindows } from './windows.js';

/** A longer window is of little use, and takes much memory. */
const DEFAULT_WINDOW = 2048;

export const perplexityOptions = z.strictObject({
  model: z.string().min(1).describe('folder, .gguf file, adapter or cached name'),
  dataset: z.string().min(1).describe('a text file, or .jsonl with one document in "text" a line'),
  separator: z.string().default('\n\n').describe('what joins the documents of a .jsonl file'),
  window: z
    .int()
    .min(2)
    .optional()
    .describe('tokens of a window; the context of the model, 2048 at most, unless given'),
  stride: z.int().positive().optional().describe('tokens from window to window; no overlap unless given'),
  maxWindows: z.int().positive().optional().describe('only the first windows'),
  bos: z.boolean().default(false).describe("put the tokenizer's BOS token before every window"),
  dtype: z.enum(['f32', 'bf16']).default('bf16'),
  weights: z
    .enum(['float', 'as-stored'])
    .default('float')
    .describe('as-stored: quantised weights in their own bits, inputs rounded to 8 bits in bf16, as models are served'),
  batchTokens: z.int().positive().default(2048).describe('tokens that go through the model at once'),
  failOver: z.number().positive().optional().describe('perplexity above which the step fails'),
});

export type PerplexityOptions = z.output<typeof perplexityOptions>;

/** Perplexity of a text under a model, over windows of it. */
export const perplexityRunner = defineStepRunner('evaluate', {
  options: perplexityOptions,
  outputs: ['perplexity', 'wordPerplexity', 'bytePerplexity', 'bitsPerByte', 'results'],
  inputs: ({ model, dataset }: PerplexityOptions) => ({ paths: [model, dataset] }),
  async check(context, { model, dataset }: PerplexityOptions) {
    await checkModel(context, model);
    if (!context.comesLater(dataset)) readText(context.resolvePath(dataset), '');
  },
  async run(context, options: PerplexityOptions) {
    const file = context.resolvePath(options.dataset);
    const text = readText(file, options.separator);
    using local = await openLocalModel(context, options.model, options);
    const { figures, scores } = await measurePerplexity(local, text, options, {
      file,
      signal: context.signal,
      onProgress: (current, total) =>
        context.events.emit({ type: 'progress', task: context.name, current, total, unit: 'windows' }),
    });
    const { perplexity, wordPerplexity, bytePerplexity, bitsPerByte } = figures;
    const windowScores = scores.map(({ logLikelihood, logprobs }) => [logLikelihood, logprobs.length]);
    const results = join(context.outputDir, 'results.json');
    writeJson(results, { model: local.path, dataset: file, options, ...figures, windowScores });
    context.events.emit({
      type: 'table',
      task: context.name,
      columns: ['perplexity', '95 % interval', 'per word', 'per byte', 'bits per byte', 'windows', 'tokens scored'],
      rows: [
        [
          perplexity.toFixed(3),
          figures.interval95?.map((bound) => bound.toFixed(3)).join('-') ?? '',
          wordPerplexity.toFixed(3),
          bytePerplexity.toFixed(4),
          bitsPerByte.toFixed(4),
          figures.windows,
          figures.scoredTokens,
        ],
      ],
    });
    const { failOver } = options;
    if (failOver !== undefined && perplexity > failOver) {
      throw evaluateErrors.LF_EVALUATE_ABOVE({ perplexity, failOver });
    }
    return { perplexity, wordPerplexity, bytePerplexity, bitsPerByte, results };
  },
});

/** Tokenises a text without special tokens, cuts it into windows, and scores them. */
export async function measurePerplexity(
  { model, tokenizer, path }: LocalModel,
  text: string,
  options: Pick<PerplexityOptions, 'window' | 'stride' | 'maxWindows' | 'bos' | 'batchTokens'>,
  run: { file: string; signal?: AbortSignal; onProgress?: (done: number, total: number) => void },
): Promise<{ figures: PerplexityFigures; scores: SequenceScore[] }> {
  const { maxPositions } = model.config;
  const { window = Math.min(DEFAULT_WINDOW, maxPositions) } = options;
  const room = options.bos ? window - 1 : window;
  const { stride = room } = options;
  checkAtMost('window', window, maxPositions, `the model's positions`);
  checkAtMost('stride', stride, room, 'the text tokens of a window');
  const bos = options.bos ? tokenizer.bosTokenId : undefined;
  if (options.bos && bos === undefined) throw evaluateErrors.LF_EVALUATE_NO_BOS({ model: path });
  const { tokens, offsets } = await tokenizer.encodeWithOffsets(text, { addSpecialTokens: false });
  const windows = stridedWindows(tokens, {
    window,
    stride,
    ...(bos !== undefined && { bos }),
    ...(options.maxWindows !== undefined && { maxWindows: options.maxWindows }),
  });
  if (windows.length === 0) throw evaluateErrors.LF_EVALUATE_TEXT_SHORT({ file: run.file, tokens: tokens.length });
  const scorer = new SequenceScorer(model, { batchTokens: options.batchTokens, sharePrefixes: false });
  const scores = await scorer.score(windows, {
    ...(run.signal && { signal: run.signal }),
    onProgress: (done) => run.onProgress?.(done, windows.length),
  });
  const broken = scores.filter(({ logLikelihood }) => !Number.isFinite(logLikelihood)).length;
  if (broken > 0) throw evaluateErrors.LF_EVALUATE_NOT_FINITE({ model: path, count: broken, total: windows.length });
  const seen = Math.min(tokens.length, (windows.length - 1) * stride + room);
  const figures = perplexityFigures(scores, textSize(text.slice(0, offsets[2 * seen - 1]), seen));
  return { figures, scores };
}

function checkAtMost(name: string, value: number, limit: number, of: string): void {
  if (value > limit) throw evaluateErrors.LF_EVALUATE_WINDOW({ name, value, limit, of });
}
