import { checkTrainerOptions, trainerOptions } from '@largeforge/trainer';
import { z } from 'zod';

const loss = z.strictObject({
  name: z.string().min(1).default('cross-entropy').describe('a loss of this plugin or of another one'),
  with: z.record(z.string(), z.unknown()).default({}).describe('options of the loss, such as labelSmoothing'),
});

/** Options of supervised fine-tuning: those of every trainer, and the loss. */
export const sftOptions = z
  .strictObject({
    ...trainerOptions.shape,
    learningRate: trainerOptions.shape.learningRate.describe('peak; 2e-4 with LoRA, 2e-5 in full unless given'),
    loss: loss.prefault({}).describe('what is minimised'),
  })
  .superRefine(checkTrainerOptions);

export type SftOptions = z.output<typeof sftOptions>;
