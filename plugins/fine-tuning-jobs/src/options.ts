import { z } from 'zod';

const path = z.string().min(1);

export const jobsOptions = z.strictObject({
  models: z
    .record(z.string().min(1), path)
    .default({})
    .describe(
      'models that jobs may fine-tune: name -> folder, .gguf file or cached name; without one there are no jobs',
    ),
  folder: path.optional().describe('where files and jobs are kept; fine-tuning/ in the run folder unless given'),
  defaults: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('options of the trainers that requests cannot set, such as maxLength, lora or saveSteps'),
  plugins: z
    .array(z.unknown())
    .optional()
    .describe("plugins of the trainings; unless given, the server's own, without their options, and the trainers"),
  concurrency: z.int().positive().default(1).describe('trainings at a time'),
  maxFileBytes: z
    .int()
    .positive()
    .default(512 * 1024 * 1024)
    .describe('of an upload'),
});

export type JobsOptions = z.output<typeof jobsOptions>;
