import { dataOptions } from '@largeforge/data';
import { z } from 'zod';

/** Where calibration tokens come from: a name, or a data set. */
const calibrationSource = z.union([
  z
    .string()
    .min(1)
    .describe(
      'a text, tokenised as one without special tokens; .jsonl with "text" or "messages" on each line; a data set of the ' +
        'Hugging Face cache by name; or "self" for texts that the model writes',
    ),
  dataOptions.omit({ maxLength: true }).describe('a data set, as trainers take it, through the chat template'),
]);

/** Options of calibration that every step with calibration has. */
export const calibrationOptions = {
  calibration: calibrationSource,
  samples: z.int().positive().default(128).describe('windows of the calibration text'),
  sequenceLength: z.int().min(2).default(512).describe('tokens of a window'),
  seed: z.int().min(0).optional().describe('draws the windows at random; they are the first ones unless given'),
};

export type CalibrationSource = z.output<typeof calibrationSource>;

export interface CalibrationSettings {
  readonly calibration: CalibrationSource;
  readonly samples: number;
  readonly sequenceLength: number;
  readonly seed?: number | undefined;
}

/** What the model writes itself to be calibrated on. */
export const SELF = 'self';

/** Files that decide what a calibration is. */
export function calibrationFiles(source: CalibrationSource): string[] {
  if (typeof source !== 'string') return [...source.paths];
  return source === SELF ? [] : [source];
}
