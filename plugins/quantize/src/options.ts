import { calibrationOptions, gateOptions } from '@largeforge/optimize';
import { z } from 'zod';
import { checkpointFormats } from './checkpoint/scheme.js';

/** Bits that weights can have. */
export const bitsOption = z.union([z.literal(2), z.literal(3), z.literal(4), z.literal(8)]).describe('of a weight');

/** Of methods that can make up for what they changed before. */
export const driftCorrectionOption = z
  .number()
  .min(0)
  .max(1)
  .default(0)
  .describe('share of what earlier layers changed of the inputs that weights make up for; one more run of each layer');

/** What is different for layers whose module name a pattern matches. */
const moduleRule = z.strictObject({
  match: z.string().min(1).describe('regular expression, found anywhere in a module name: "down_proj$"'),
  keep: z.boolean().default(false).describe('leave the weights as they are'),
  bits: bitsOption.optional(),
  groupSize: z.int().min(8).optional(),
  symmetric: z.boolean().optional(),
});

export type ModuleRule = z.output<typeof moduleRule>;

/** Options that every quantiser has. */
export const quantizeOptions = {
  model: z.string().min(1).describe('folder, .gguf file or cached name'),
  outputDir: z.string().min(1).optional().describe('where the quantised model goes'),
  groupSize: z
    .int()
    .min(8)
    .optional()
    .describe('inputs that share a scale; the largest of 128, 64 and 32 that divides every width unless given'),
  modules: z
    .array(moduleRule)
    .default([])
    .describe('layers that are treated differently; the first rule that matches counts'),
  lmHead: z.boolean().default(false).describe('quantise the output head too, where its weights are its own'),
  format: z.enum(checkpointFormats).optional().describe('of the files'),
  ...calibrationOptions,
  batchTokens: z.int().positive().default(4096).describe('tokens that go through a layer at once'),
  dtype: z.enum(['f32', 'bf16']).default('bf16').describe('precision of the calibration run and of weights that stay'),
  gate: gateOptions.prefault({}).describe('how much the model may lose to be kept'),
};

const schema = z.strictObject(quantizeOptions);
export type QuantizeOptions = z.output<typeof schema>;
