import { calibrationOptions, gateOptions } from '@largeforge/optimize';
import { z } from 'zod';
import { parsePattern } from './sparse/mask.js';

const share = z.number().min(0).lt(1);
const { calibration, ...windows } = calibrationOptions;

/** What every kind of pruning takes. */
const shared = {
  model: z.string().min(1).describe('folder, .gguf file or cached name'),
  outputDir: z.string().min(1).optional().describe('where the pruned model goes'),
  ...windows,
  batchTokens: z.int().positive().default(4096).describe('tokens that go through a layer at once'),
  dtype: z.enum(['f32', 'bf16']).default('bf16').describe('precision of the calibration run and of the weights'),
  gate: gateOptions.prefault({}).describe('how much the model may lose to be kept'),
};

export const sparseMethods = ['magnitude', 'wanda', 'sparsegpt'] as const;

export const sparseOptions = z.strictObject({
  ...shared,
  calibration: calibration.optional(),
  method: z.enum(sparseMethods).default('sparsegpt').describe('which weights become 0, and what makes up for them'),
  sparsity: share.default(0.5).describe('share of the weights of every layer that become 0'),
  pattern: z
    .string()
    .refine((text) => parsePattern(text) !== undefined, { error: 'N:M with 0 < N < M, such as 2:4' })
    .optional()
    .describe('"2:4": two of every four weights become 0, instead of `sparsity`'),
  damping: z
    .number()
    .positive()
    .max(1)
    .default(0.01)
    .describe("sparsegpt: added to the Hessian's diagonal, as a share of its mean"),
});
export type SparseOptions = z.output<typeof sparseOptions>;

export const structuredOptions = z.strictObject({
  ...shared,
  calibration,
  heads: share.default(0).describe('share of the key-value heads, with their query heads, that every layer loses'),
  channels: share
    .default(0)
    .describe('share of the channels between the feed-forward projections that every layer loses'),
  layers: share.default(0).describe('share of the layers that go, those that change the stream least'),
  multipleOf: z.int().positive().default(32).describe('channels that stay are a multiple of it'),
});
export type StructuredOptions = z.output<typeof structuredOptions>;
