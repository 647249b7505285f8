import { type CheckContext, type StepContext, secret } from '@largeforge/core';
import { z } from 'zod';
import { checkModel, openLocalModel } from '../local-model.js';
import type { EvaluatedModel } from './evaluated-model.js';
import { LocalEvaluatedModel } from './local-evaluated-model.js';
import { RemoteEvaluatedModel } from './remote-evaluated-model.js';

const server = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .describe("base address of a server with OpenAI's API, such as http://host:8000/v1"),
  model: z.string().min(1).describe('name of the model in requests'),
  apiKey: secret(z.string().min(1)).optional(),
  concurrency: z.int().positive().default(8).describe('requests at the same time'),
  timeoutSeconds: z.number().positive().default(600).describe('for one request'),
  attempts: z.int().positive().default(4).describe('for a request that is refused with 429 or 5xx, or not answered'),
});

/** The model of an evaluation, by itself or behind a server. */
export const evaluatedModel = z
  .union([z.string().min(1), server])
  .describe('folder, .gguf file, adapter or cached name; or {url, model} of a server');

/** How a model that is loaded here computes. */
export const computeOptions = {
  dtype: z.enum(['f32', 'bf16']).default('bf16'),
  batchTokens: z.int().positive().default(2048).describe('tokens that go through the model at once'),
  maxSequences: z.int().positive().default(32).describe('answers that are generated side by side'),
};

export interface EvaluatedModelOptions {
  readonly model: z.output<typeof evaluatedModel>;
  readonly dtype: 'f32' | 'bf16';
  readonly batchTokens: number;
  readonly maxSequences: number;
}

/** Files of the model that decide what comes out. */
export function modelInputs(model: EvaluatedModelOptions['model']): string[] {
  return typeof model === 'string' ? [model] : [];
}

export async function checkEvaluatedModel(context: CheckContext, model: EvaluatedModelOptions['model']): Promise<void> {
  if (typeof model === 'string') await checkModel(context, model);
}

/** Loads the model, or makes ready to ask its server. Dispose it after use. */
export async function openEvaluatedModel(
  context: Pick<StepContext, 'backend' | 'resolvePath'>,
  options: EvaluatedModelOptions,
): Promise<EvaluatedModel> {
  const { model } = options;
  if (typeof model !== 'string') {
    const { apiKey, ...rest } = model;
    return new RemoteEvaluatedModel({ ...rest, ...(apiKey !== undefined && { apiKey }) });
  }
  return new LocalEvaluatedModel(await openLocalModel(context, model, options), options);
}
