import { join } from 'node:path';
import { defineStepRunner } from '@largeforge/core';
import { writeJson } from '@largeforge/engine';
import { z } from 'zod';
import {
  checkEvaluatedModel,
  computeOptions,
  evaluatedModel,
  modelInputs,
  openEvaluatedModel,
} from '../models/open.js';
import { measureProfile } from './profile.js';

export const profileOptions = z.strictObject({
  model: evaluatedModel,
  promptWords: z.int().positive().default(200).describe('words of a prompt'),
  newTokens: z.int().positive().default(64).describe('tokens of an answer'),
  concurrency: z
    .array(z.int().positive())
    .min(1)
    .default([1, 8])
    .describe('requests at the same time, measured in turn'),
  rounds: z.int().positive().default(2).describe('rounds of so many requests; one more goes before, to warm up'),
  ...computeOptions,
});

export type ProfileOptions = z.output<typeof profileOptions>;

/** Measures how fast a model answers, and what memory that takes. */
export const profileRunner = defineStepRunner('evaluate', {
  options: profileOptions,
  outputs: ['results', 'tokensPerSecond', 'firstTokenSeconds', 'memoryBytes'],
  cacheable: false,
  inputs: ({ model }: ProfileOptions) => ({ paths: modelInputs(model) }),
  check: (context, { model }: ProfileOptions) => checkEvaluatedModel(context, model),
  async run(context, options: ProfileOptions) {
    const maxSequences = Math.max(...options.concurrency);
    await using model = await openEvaluatedModel(context, { ...options, maxSequences });
    const profiles = [];
    for (const concurrency of options.concurrency) {
      profiles.push(await measureProfile(model, { ...options, concurrency }, context.signal));
      const [current, total] = [profiles.length, options.concurrency.length];
      context.events.emit({ type: 'progress', task: context.name, current, total, unit: 'loads' });
    }
    const results = join(context.outputDir, 'results.json');
    const memoryBytes = model.memoryBytes?.();
    const peakResidentBytes = process.resourceUsage().maxRSS * 1024;
    const memory = memoryBytes === undefined ? {} : { memoryBytes, peakResidentBytes };
    const { promptWords, newTokens, rounds, dtype } = options;
    writeJson(results, { model: model.name, promptWords, newTokens, rounds, dtype, ...memory, profiles });
    context.events.emit({
      type: 'table',
      task: context.name,
      columns: ['at once', 'first token p50', 'p95', 'tokens/s', 'tokens/s a stream', 'prompt tokens', 'memory'],
      rows: profiles.map((profile) => [
        profile.concurrency,
        `${(1000 * profile.firstTokenSeconds.p50).toFixed(0)} ms`,
        `${(1000 * profile.firstTokenSeconds.p95).toFixed(0)} ms`,
        profile.tokensPerSecond.toFixed(1),
        profile.tokensPerSecondOfStream.toFixed(1),
        profile.promptTokens,
        memoryBytes === undefined ? '' : `${(memoryBytes / 2 ** 20).toFixed(0)} MiB`,
      ]),
    });
    const best = Math.max(...profiles.map(({ tokensPerSecond }) => tokensPerSecond));
    const { firstTokenSeconds } = profiles[0]!;
    return { results, tokensPerSecond: best, firstTokenSeconds: firstTokenSeconds.p50, ...memory };
  },
});
