import { gateOptions } from '@largeforge/optimize';
import { z } from 'zod';
import { adapterMethods } from './adapters/methods.js';
import { modelMethods } from './models/methods.js';

const path = z.string().min(1);
const share = z.number().min(0).max(1);

/** Options that merging adapters and merging models have in common. */
const shared = {
  outputDir: path.optional().describe('where the merged model goes'),
  dtype: z.enum(['f32', 'bf16', 'f16']).default('bf16').describe('precision of the merged weights'),
  seed: z.int().min(0).default(0).describe("of DARE's draws"),
  sequenceLength: z.int().min(2).default(512).describe('tokens of a window of gate.dataset'),
  gate: gateOptions.prefault({}).describe('how far the merged model may be from what it was merged of, to be kept'),
};

const weighted = z.strictObject({ path, weight: z.number().default(1) });

export const mergeAdapterOptions = z.strictObject({
  baseModel: path.optional().describe('folder, .gguf file or cached name; that of the adapter unless given'),
  adapter: z
    .union([path, z.array(z.union([path, weighted])).min(1)])
    .describe('folder of a PEFT LoRA adapter; or several, each with a weight if it is not 1'),
  method: z
    .enum(adapterMethods)
    .default('cat')
    .describe("how several adapters become one, as PEFT's add_weighted_adapter names it"),
  density: share.default(0.5).describe('share of the values that is kept, of ties, dare and magnitude_prune'),
  majoritySign: z.enum(['total', 'frequency']).default('total').describe('how ties votes for a sign'),
  rank: z.int().positive().optional().describe('of the combined adapter, with svd; the largest rank unless given'),
  adapterOutputDir: path.optional().describe('where the combined adapter goes, if it is wanted by itself'),
  ...shared,
});

export type MergeAdapterOptions = z.output<typeof mergeAdapterOptions>;

const mergedModel = z.strictObject({
  path,
  weight: z.number().default(1),
  density: share.optional().describe('of this model'),
});

export const mergeModelOptions = z.strictObject({
  models: z
    .array(z.preprocess((value) => (typeof value === 'string' ? { path: value } : value), mergedModel))
    .min(1)
    .describe('folders, .gguf files or cached names; each with a weight and a density of its own, if need be'),
  baseModel: path
    .optional()
    .describe('what differences are taken from; with slerp where the path begins. linear needs none'),
  method: z.enum(modelMethods).describe('as mergekit names it'),
  t: share.default(0.5).describe('slerp: how far to go from the base to the other model'),
  density: share.default(1).describe('ties, dare: share of the values of each difference that is kept'),
  normalize: z.boolean().optional().describe('divide by the weights; linear and ties do unless told otherwise'),
  rescale: z
    .boolean()
    .optional()
    .describe('scale what is kept to the magnitude of all; dare does unless told otherwise'),
  lambda: z.number().default(1).describe('what the sum of the differences is multiplied by'),
  ...shared,
});

export type MergeModelOptions = z.output<typeof mergeModelOptions>;
