import { z } from 'zod';
import { batchLosses, type LossName } from '../losses/batch-loss.js';
import { divergenceNames } from '../losses/divergence.js';
import { checkPreferenceOptions, preferenceOptions, referenceOptions } from '../options.js';

const lossNames = Object.keys(batchLosses) as [LossName, ...LossName[]];
const lossName = z.enum(lossNames);

const settings = {
  loss: z
    .union([lossName, z.array(lossName).min(1)])
    .default('sigmoid')
    .describe(`what is minimised, or several of which a weighted sum is: ${lossNames.join(', ')}`),
  lossWeights: z.array(z.number()).optional().describe('of each of several losses; 1 unless given'),
  beta: z.number().positive().default(0.1).describe('how closely to keep to the reference'),
  labelSmoothing: z
    .number()
    .min(0)
    .max(0.5)
    .default(0)
    .describe('share of pairs that are taken to be the wrong way round (exo_pair, robust, aot, aot_unpaired)'),
  discopopTau: z.number().positive().default(0.05).describe('temperature of the blend of discopop'),
  fDivergence: z.enum(divergenceNames).default('reverse_kl').describe('distance from the reference (f-DPO)'),
  fAlpha: z.number().default(0.5).describe('of alpha_divergence'),
  ldAlpha: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('weight of the part of an answer that is longer than the other (LD-DPO); 1 unless given'),
};

/** Options of DPO alone. */
export type DpoSettings = z.output<z.ZodObject<typeof settings>>;

/** Options of direct preference optimisation. */
export const dpoOptions = z
  .strictObject({
    ...preferenceOptions,
    learningRate: preferenceOptions.learningRate.describe('peak; 5e-6 with LoRA, 1e-6 in full unless given'),
    ...settings,
    ...referenceOptions,
    precomputeReference: z
      .boolean()
      .default(false)
      .describe('ask the reference for all pairs before training, and keep its answers on disk for later runs'),
  })
  .superRefine((options, context) => {
    checkPreferenceOptions(options, context);
    const wrong = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    const names: readonly LossName[] = typeof options.loss === 'string' ? [options.loss] : options.loss;
    if (options.lossWeights && options.lossWeights.length !== names.length) {
      wrong('lossWeights', `one for each of the ${names.length} losses`);
    }
    if (names.includes('exo_pair') && options.labelSmoothing === 0) {
      wrong('labelSmoothing', 'more than 0 with exo_pair, which takes the logarithm of it; 0.001 is usual');
    }
    if (names.includes('robust') && options.labelSmoothing === 0.5) {
      wrong('labelSmoothing', 'less than 0.5 with robust, which divides by 1 - 2 * labelSmoothing');
    }
  });

export type DpoOptions = z.output<typeof dpoOptions>;
