import { z } from 'zod';
import { named } from './registry.js';
import { samplingFields } from './sampling.js';
import { structuredFields } from './structured.js';
import { finishReasonSchema, usageSchema } from './usage.js';

const tokenIds = z.array(z.int().min(0)).min(1);

export const completionRequestSchema = named(
  'CompletionRequest',
  z.looseObject({
    model: z.string(),
    prompt: z.union(
      // Tokens before texts: a failed attempt notes every one of what may be hundreds of thousands of entries.
      [z.string(), tokenIds, z.array(z.string()).min(1).max(2048), z.array(tokenIds).min(1).max(2048)],
      'expected a string, a list of strings, a list of token ids, or a list of lists of token ids',
    ),
    max_tokens: z.int().min(0).nullish().describe('default 256; 0 with echo and logprobs alone'),
    echo: z
      .boolean()
      .nullish()
      .describe('put the prompt before the text, and its log probabilities before those of the text'),
    logprobs: z.int().min(0).max(20).nullish().describe('log probabilities of this many of the likeliest tokens'),
    best_of: z.int().nullish().describe('only accepted when equal to n'),
    suffix: z.string().nullish().describe('not supported'),
    user: z.string().nullish(),
    ...structuredFields,
    ...samplingFields,
  }),
);

export type CompletionRequest = z.output<typeof completionRequestSchema>;

export const completionLogprobsSchema = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).nullable(),
  text_offset: z.array(z.int()),
});

export type CompletionLogprobs = z.output<typeof completionLogprobsSchema>;

export const completionResponseSchema = named(
  'Completion',
  z.object({
    id: z.string(),
    object: z.literal('text_completion'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        text: z.string(),
        logprobs: completionLogprobsSchema.nullable(),
        finish_reason: finishReasonSchema,
      }),
    ),
    usage: usageSchema,
  }),
);

export type CompletionResponse = z.output<typeof completionResponseSchema>;
