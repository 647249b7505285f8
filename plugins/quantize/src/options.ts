import { z } from 'zod';
import { checkpointFormats } from './checkpoint/format.js';

/** How much a quantised model may lose; what is not given is not checked. */
export const gateOptions = z.strictObject({
  dataset: z
    .string()
    .min(1)
    .optional()
    .describe('a text to compare the models on; windows of the calibration text that were not used unless given'),
  windows: z.int().positive().default(8).describe('of the sequence length, that are compared at most'),
  maxPerplexityRatio: z
    .number()
    .min(1)
    .optional()
    .describe('perplexity of the quantised model over that of the original'),
  maxKl: z
    .number()
    .positive()
    .optional()
    .describe('mean divergence of the predictions from those of the original, in nats'),
  minTop1: z.number().min(0).max(1).optional().describe('share of positions whose most likely token stays the same'),
});

export type GateOptions = z.output<typeof gateOptions>;

/** Options that every quantiser has. */
export const quantizeOptions = {
  model: z.string().min(1).describe('folder, .gguf file or cached name'),
  outputDir: z.string().min(1).optional().describe('where the quantised model goes'),
  groupSize: z
    .int()
    .min(8)
    .optional()
    .describe('inputs that share a scale; the largest of 128, 64 and 32 that divides every width unless given'),
  format: z.enum(checkpointFormats).optional().describe('of the files'),
  calibration: z
    .string()
    .min(1)
    .describe('a text, tokenised as one without special tokens; or .jsonl with "text" or "messages" on each line'),
  samples: z.int().positive().default(128).describe('windows of the calibration text'),
  sequenceLength: z.int().min(2).default(512).describe('tokens of a window'),
  seed: z.int().min(0).optional().describe('draws the windows at random; they are the first ones unless given'),
  batchTokens: z.int().positive().default(4096).describe('tokens that go through a layer at once'),
  dtype: z.enum(['f32', 'bf16']).default('bf16').describe('precision of the calibration run and of weights that stay'),
  gate: gateOptions.prefault({}).describe('how much the model may lose to be kept'),
};

const schema = z.strictObject(quantizeOptions);
export type QuantizeOptions = z.output<typeof schema>;
