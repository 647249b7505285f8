import { z } from 'zod';
import type { SamplingParams } from '../models.js';

/** What a request that leaves a parameter out gets (SyRS 6.1.1). */
export const requestDefaults = {
  maxTokens: 256,
  temperature: 0.7,
  topP: 0.9,
  topK: 50,
} as const;

const int = (min: number, max: number) => z.int().min(min).max(max).nullish();
const number = (min: number, max: number) => z.number().min(min).max(max).nullish();

/** Fields that completions and chat completions share; each may be null, as OpenAI's own may. */
export const samplingFields = {
  temperature: number(0, 2).describe('0 is greedy; default 0.7'),
  top_p: z.number().gt(0).max(1).nullish().describe('default 0.9'),
  top_k: int(-1, 1_000_000).describe('0 or -1 is off; default 50'),
  min_p: number(0, 1).describe('keep tokens at least this share as likely as the best; default 0'),
  repetition_penalty: z.number().gt(0).max(10).nullish().describe('over prompt and output; default 1'),
  presence_penalty: number(-2, 2).describe('default 0'),
  frequency_penalty: number(-2, 2).describe('default 0'),
  logit_bias: z
    .record(z.string().regex(/^\d+$/, 'keys are token ids'), z.number().min(-100).max(100))
    .nullish()
    .describe('token id to bias, -100 to 100'),
  seed: z.int().nullish().describe('the same request with the same seed gives the same text, whatever else runs'),
  n: int(1, 128).describe('choices to generate; default 1'),
  stop: z
    .union([z.string(), z.array(z.string()).max(16)], 'expected a string or up to 16 strings')
    .nullish()
    .describe('text ends before the first of these'),
  ignore_eos: z.boolean().nullish().describe("go on after the model's end-of-text token, up to the limit of tokens"),
  priority: z.int().nullish().describe('smaller is served earlier; default 0'),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
};

export interface SamplingFields {
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  repetition_penalty?: number | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  logit_bias?: Record<string, number> | null;
  seed?: number | null;
  stop?: string | string[] | null;
}

/** Sampling parameters of a request's choice; choices of one request with a seed differ by their index. */
export function samplingOf(body: SamplingFields, choice: number): SamplingParams {
  const bias = Object.entries(body.logit_bias ?? {});
  return {
    temperature: body.temperature ?? requestDefaults.temperature,
    topP: body.top_p ?? requestDefaults.topP,
    topK: Math.max(0, body.top_k ?? requestDefaults.topK),
    minP: body.min_p ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    ...(body.seed != null && { seed: seedOf(body.seed, choice) }),
    ...(bias.length > 0 && { logitBias: new Map(bias.map(([token, value]) => [Number(token), value])) }),
  };
}

/** The stop strings of a request, empty ones left out. */
export function stopsOf(stop: string | string[] | null | undefined): string[] {
  return (typeof stop === 'string' ? [stop] : (stop ?? [])).filter((text) => text.length > 0);
}

/** Engines count seeds from 0; OpenAI's may be negative. */
function seedOf(seed: number, choice: number): number {
  const wrapped = seed < 0 ? seed + Number.MAX_SAFE_INTEGER : seed;
  return (wrapped + choice) % Number.MAX_SAFE_INTEGER;
}
