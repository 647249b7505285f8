import { checkTrainerOptions, trainerOptions } from '@largeforge/trainer';
import { z } from 'zod';

/** What every preference trainer takes; a trainer adds the options of its method. */
export const preferenceOptions = trainerOptions.shape;

/** Of the methods that compare with a reference. */
export const referenceOptions = {
  reference: z
    .string()
    .min(1)
    .optional()
    .describe('model to compare with: folder, .gguf file or cached name; unless given, what the training starts from'),
} as const;

/** Options that contradict each other, of every preference trainer. */
export function checkPreferenceOptions(
  options: z.output<typeof trainerOptions>,
  context: z.core.$RefinementCtx<unknown>,
): void {
  checkTrainerOptions(options, context as never);
  for (const key of ['dataset', 'evalDataset'] as const) {
    if (options[key]?.overlong !== 'split') continue;
    const message = 'error, truncate or drop: an answer that is split is no answer to its prompt';
    context.addIssue({ code: 'custom', path: [key, 'overlong'], message, input: options[key] });
  }
}
