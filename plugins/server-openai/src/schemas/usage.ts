import { z } from 'zod';
import { named } from './registry.js';

export const usageSchema = named(
  'Usage',
  z.object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
    completion_tokens_details: z.object({ reasoning_tokens: z.int() }),
  }),
);

export type Usage = z.output<typeof usageSchema>;

export const finishReasonSchema = z.enum(['stop', 'length']);

export const errorSchema = named(
  'Error',
  z.object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  }),
);

/** Answers that every generating route may give. */
export const errorResponses = {
  400: errorSchema.describe('The request is wrong; the message says where'),
  401: errorSchema.describe('The API key is missing or wrong'),
  404: errorSchema.describe('No such model'),
  413: errorSchema.describe('The body is too large'),
  429: errorSchema.describe('The queue is full; Retry-After says when to come back'),
  500: errorSchema.describe('The server failed'),
  503: errorSchema.describe('The server starts, drains or has lost its model'),
};
