import { z } from 'zod';

const lora = z.strictObject({
  r: z.int().positive().default(16),
  alpha: z.number().positive().default(32),
  dropout: z.number().min(0).lt(1).default(0),
  targetModules: z.union([z.string().min(1), z.array(z.string().min(1))]).default('all-linear'),
  rslora: z.boolean().default(false),
});

/** Options of supervised fine-tuning. Defaults are those that users of PEFT and TRL expect. */
export const sftOptions = z.strictObject({
  model: z.string().min(1).describe('folder, .gguf file or cached name'),
  dataset: z.string().min(1).describe('JSONL rows of {messages: [{role, content}, ...]}'),
  outputDir: z.string().min(1).optional().describe('where the adapter (or the model) goes'),
  full: z.boolean().default(false).describe('train every weight instead of a LoRA adapter'),
  lora: lora.prefault({}),
  epochs: z.number().positive().default(3),
  maxSteps: z.int().positive().optional(),
  batchSize: z.int().positive().default(4),
  gradientAccumulation: z.int().positive().default(1),
  learningRate: z.number().positive().optional().describe('2e-4 with LoRA, 2e-5 in full unless given'),
  scheduler: z.enum(['constant', 'linear', 'cosine', 'wsd']).default('cosine'),
  warmupRatio: z.number().min(0).max(1).default(0.03),
  maxLength: z.int().positive().default(1024).describe('longer rows are refused'),
  precision: z.enum(['bf16', 'f32']).default('bf16'),
  seed: z.int().nonnegative().default(42),
  saveSteps: z.int().positive().optional().describe('a checkpoint every so many steps'),
});

export type SftOptions = z.output<typeof sftOptions>;
