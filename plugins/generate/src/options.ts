import { z } from 'zod';

const count = z.int().min(1);

/** How tokens are guessed ahead, of one model: by a smaller one of the same tokenizer, or from repetitions in the text. */
export type Speculation =
  | { readonly draft: string; readonly tokens?: number }
  | { readonly lookup: true; readonly tokens?: number };

/** Options of the plugin: how models are run for generation. */
export const generateOptionsSchema = z.strictObject({
  cacheMiB: count
    .optional()
    .describe('key-value cache of each base model; default a quarter of the free memory, 1 GiB at most'),
  cacheType: z
    .enum(['model', 'int8'])
    .optional()
    .describe("precision of the key-value cache: the model's own, or 8 bits and a scale; default model"),
  contextLength: count.optional().describe("prompt and completion together; default the model's own"),
  maxSequences: count.optional().describe('streams that run at once; others wait. Default 256'),
  maxBatchTokens: count.optional().describe('tokens computed in one step; default 512'),
  maxPrefillChunk: count.optional().describe('tokens of one prompt in one step; default 512'),
  maxStallMilliseconds: z
    .number()
    .min(0)
    .optional()
    .describe('what prompts may make running streams wait for their next token, about; 0: no bound. Default 100'),
  prefixCache: z.boolean().optional().describe('keep what was computed for requests that begin alike; default true'),
  batchInvariant: z
    .boolean()
    .optional()
    .describe('a stream is bit for bit the same alone and in company; prompts and short batches are slower'),
  maxAdapterRank: count.optional().describe('largest rank of an adapter served beside its base model; default 256'),
  tensorParallel: count
    .optional()
    .describe(
      'devices that share each base model, from the chosen one on; GPUs need NCCL or RCCL. No adapters, mixtures or drafts then. Default 1',
    ),
  maxSpeculating: count
    .optional()
    .describe('guess ahead while at most so many streams run; default 4, as a wide batch leaves no arithmetic idle'),
});

export type GenerateOptions = z.output<typeof generateOptionsSchema>;
