import { calibrationOptions, gateOptions } from '@largeforge/optimize';
import { z } from 'zod';
import { checkpointFormats } from './checkpoint/format.js';

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
  ...calibrationOptions,
  batchTokens: z.int().positive().default(4096).describe('tokens that go through a layer at once'),
  dtype: z.enum(['f32', 'bf16']).default('bf16').describe('precision of the calibration run and of weights that stay'),
  gate: gateOptions.prefault({}).describe('how much the model may lose to be kept'),
};

const schema = z.strictObject(quantizeOptions);
export type QuantizeOptions = z.output<typeof schema>;
