import { z } from 'zod';

const limit = z.record(z.string(), z.number());

/** Tasks that the model is measured on before and after. */
const taskGate = z.strictObject({
  names: z
    .array(z.string().min(1))
    .min(1)
    .describe('built-in tasks or task files, as the evaluator "tasks" takes them'),
  data: z
    .record(z.string(), z.union([z.string().min(1), z.record(z.string(), z.string().min(1))]))
    .default({})
    .describe('data files by task: one file, or a file for each split'),
  limit: z.int().positive().optional().describe('only the first documents of each task'),
  chat: z.boolean().default(false).describe("put prompts through the model's chat template"),
  maxDrop: z.number().min(0).optional().describe('how much the first metric of each task may fall'),
  failUnder: limit.default({}).describe('least value of the first metric, by task'),
});

/** How much a changed model may lose to be kept; what is not given is not checked. */
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
    .describe('perplexity of the changed model over that of the original'),
  maxKl: z
    .number()
    .positive()
    .optional()
    .describe('mean divergence of the predictions from those of the original, in nats'),
  minTop1: z.number().min(0).max(1).optional().describe('share of positions whose most likely token stays the same'),
  tasks: taskGate.optional(),
});

export type GateOptions = z.output<typeof gateOptions>;
export type TaskGateOptions = z.output<typeof taskGate>;

/** Whether a gate has limits that need windows of text. */
export function comparesText({ maxKl, maxPerplexityRatio, minTop1 }: GateOptions): boolean {
  return maxKl !== undefined || maxPerplexityRatio !== undefined || minTop1 !== undefined;
}

/** Files that a gate reads. */
export function gateFiles({ dataset, tasks }: GateOptions): string[] {
  const data = Object.values(tasks?.data ?? {}).flatMap((files) =>
    typeof files === 'string' ? [files] : Object.values(files),
  );
  return [...(dataset === undefined ? [] : [dataset]), ...data];
}
