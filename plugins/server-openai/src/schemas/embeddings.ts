import { z } from 'zod';
import { named } from './registry.js';

const tokenIds = z.array(z.int().min(0)).min(1);
const text = z.string().min(1, 'expected a text that is not empty');

export const embeddingRequestSchema = named(
  'EmbeddingRequest',
  z.looseObject({
    model: z.string(),
    input: z.union(
      // Tokens before texts: a failed attempt notes every one of what may be hundreds of thousands of entries.
      [text, tokenIds, z.array(text).min(1).max(2048), z.array(tokenIds).min(1).max(2048)],
      'expected a text, a list of up to 2048 texts, a list of token ids, or a list of lists of token ids',
    ),
    encoding_format: z
      .enum(['float', 'base64'])
      .nullish()
      .describe('default "float"; base64 is of little-endian 32-bit floats'),
    dimensions: z.int().min(1).nullish().describe("only accepted when it is the length of the model's vectors"),
    user: z.string().nullish(),
  }),
);

export type EmbeddingRequest = z.output<typeof embeddingRequestSchema>;

export const embeddingResponseSchema = named(
  'Embeddings',
  z.object({
    object: z.literal('list'),
    data: z.array(
      z.object({
        object: z.literal('embedding'),
        index: z.int(),
        embedding: z.union([z.array(z.number()), z.string()]).describe('numbers, or base64'),
      }),
    ),
    model: z.string(),
    usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
  }),
);

export type EmbeddingResponse = z.output<typeof embeddingResponseSchema>;
