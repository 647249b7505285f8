import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf } from '@largeforge/core';
import { readJson, readSafetensors, type TensorEntry, writeJson, writeSafetensors } from '@largeforge/engine';
import { z } from 'zod';
import { NgramVocabulary } from '../encoders/ngram-vocabulary.js';
import { routerErrors } from '../errors.js';
import { LinearClassifier } from '../neural/linear-classifier.js';
import { NeuralStrategy } from '../neural/neural-strategy.js';
import type { TrainedRouter } from './trained-router.js';

const files = { settings: 'router.json', keywords: 'keywords.json', weights: 'classifier.safetensors' };

const threshold = z.number().min(0).max(1).optional();
const settingsSchema = z.object({
  format: z.literal('largeforge-router'),
  version: z.literal(1),
  labels: z.array(z.string()).min(1),
  temperature: z.number().positive(),
  denseScale: z.number().positive(),
  ngrams: z.object({
    buckets: z.number().int().positive(),
    wordOrder: z.number().int().min(1),
    characters: z.tuple([z.number().int(), z.number().int()]),
    maxWords: z.number().int().positive(),
    unseenIdf: z.number(),
  }),
  pool: z.object({ neural: z.number(), keyword: z.number() }),
  thresholds: z.object({ keyword: threshold, neural: threshold, 'zero-shot': threshold, hybrid: threshold }),
  encoder: z.object({ path: z.string(), size: z.number().int().positive() }).optional(),
});

export const keywordRuleSchema = z.strictObject({
  term: z.string().min(1).optional(),
  pattern: z.string().min(1).optional(),
  weight: z.number().optional(),
  certain: z.boolean().optional(),
  partial: z.boolean().optional(),
});
const keywordsSchema = z.record(z.string(), z.array(keywordRuleSchema));

/**
 * Writes a trained router: router.json (classes, thresholds, how opinions are joined), keywords.json (rules that may be
 * edited by hand) and classifier.safetensors. Each file is whole or absent.
 */
export async function saveRouter(folder: string, router: TrainedRouter): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const { neural, keywords, pool, thresholds, encoder } = router;
  const { vocabulary, classifier, temperature, labels } = neural;
  const { dense, sparse, bias, classes } = classifier.weights;
  const tensor = (name: string, dtype: 'f32' | 'i32', values: Float32Array | Int32Array, shape: number[]) => ({
    name,
    dtype,
    shape,
    bytes: () => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  });
  await writeSafetensors(join(folder, files.weights), [
    tensor('dense', 'f32', dense, [dense.length / classes, classes]),
    tensor('sparse', 'f32', sparse, [vocabulary.rows, classes]),
    tensor('bias', 'f32', bias, [classes]),
    tensor('buckets', 'i32', vocabulary.buckets, [vocabulary.rows]),
    tensor('idf', 'f32', vocabulary.idf, [vocabulary.rows]),
  ]);
  writeJson(join(folder, files.keywords), Object.fromEntries(keywords));
  writeJson(join(folder, files.settings), {
    format: 'largeforge-router',
    version: 1,
    labels,
    temperature,
    denseScale: classifier.denseScale,
    ngrams: { ...vocabulary.settings, unseenIdf: vocabulary.unseenIdf },
    pool,
    thresholds,
    ...(encoder && { encoder }),
  });
}

/** Reads what saveRouter wrote. Throws LF_ROUTER_ARTIFACT, and what the readers of JSON and safetensors throw. */
export function loadRouter(folder: string): TrainedRouter {
  const fail = (reason: string, cause?: unknown) => routerErrors.LF_ROUTER_ARTIFACT({ folder, reason }, { cause });
  const settings = parse(settingsSchema, join(folder, files.settings), fail);
  const keywords = parse(keywordsSchema, join(folder, files.keywords), fail);
  const weightFile = join(folder, files.weights);
  let read: (name: string) => { entry: TensorEntry; bytes: ArrayBuffer };
  try {
    const { tensors } = readSafetensors(weightFile);
    const content = readFileSync(weightFile);
    read = (name) => {
      const entry = tensors.get(name);
      if (!entry) throw fail(`${files.weights} has no tensor "${name}"`);
      const start = content.byteOffset + entry.offset;
      return { entry, bytes: content.buffer.slice(start, start + entry.bytes) as ArrayBuffer };
    };
  } catch (error) {
    throw fail(reasonOf(error), error);
  }
  const floats = (name: string) => new Float32Array(read(name).bytes);
  const { labels, temperature, denseScale, ngrams, pool, thresholds, encoder } = settings;
  const bias = floats('bias');
  const buckets = new Int32Array(read('buckets').bytes);
  const [dense, sparse, idf] = [floats('dense'), floats('sparse'), floats('idf')];
  const classes = bias.length;
  if (classes < labels.length || classes > labels.length + 1 || sparse.length !== buckets.length * classes) {
    throw fail(`${files.weights} does not fit ${files.settings}: ${classes} classes for ${labels.length} labels`);
  }
  const { unseenIdf, ...ngramSettings } = ngrams;
  const vocabulary = new NgramVocabulary(ngramSettings, buckets, idf, unseenIdf);
  const classifier = new LinearClassifier({ classes, dense, sparse, bias }, denseScale);
  return {
    neural: new NeuralStrategy(labels, vocabulary, classifier, temperature),
    keywords: new Map(Object.entries(keywords)),
    pool,
    thresholds,
    ...(encoder && { encoder }),
  };
}

function parse<T extends z.ZodType>(
  schema: T,
  file: string,
  fail: (reason: string, cause?: unknown) => Error,
): z.infer<T> {
  let value: unknown;
  try {
    value = readJson(file);
  } catch (error) {
    throw fail(reasonOf(error), error);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw fail(`${file}: ${issue!.path.join('.')}: ${issue!.message}`);
}
