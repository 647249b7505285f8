import { z } from 'zod';
import { scheduleOptions } from './schedule.js';

/** AdamW with decoupled decay (Loshchilov & Hutter 2019). Norms and biases do not decay. */
export const optimizerOptions = z.strictObject({
  learningRate: z.number().positive().describe('peak learning rate'),
  weightDecay: z.number().min(0).default(0).describe('decay of matrices; norms and biases never decay'),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.999),
  epsilon: z.number().positive().default(1e-8),
  maxGradNorm: z.number().min(0).default(1).describe('gradients are scaled down to this global norm; 0 is off'),
});

/** When checkpoints are written and which are kept. */
export const checkpointOptions = z.strictObject({
  steps: z.int().min(1).optional().describe('a checkpoint every so many optimiser steps'),
  minutes: z.number().positive().optional().describe('a checkpoint when so many minutes have passed'),
  keep: z.int().min(1).default(2).describe('latest checkpoints that are kept; the best one is kept besides'),
});

/** When the held-out rows are looked at, and what follows from it. */
export const evaluationOptions = z.strictObject({
  onStart: z.boolean().default(false).describe('look at the held-out rows before the first step too'),
  steps: z.int().min(1).optional().describe('optimiser steps between evaluations; the end of each epoch unless given'),
  batchSize: z.int().min(1).optional().describe('rows of a batch; that of training unless given'),
  keepBest: z.boolean().default(false).describe('end with the weights of the best evaluation'),
  patience: z.int().min(1).optional().describe('evaluations without improvement after which training stops'),
});

/** What the training loop does, whatever the objective. */
export const trainingOptions = z.strictObject({
  epochs: z.number().positive().default(3).describe('passes over the data; ignored when maxSteps is given'),
  maxSteps: z.int().min(1).optional().describe('optimiser steps'),
  batchSize: z.int().min(1).default(4).describe('rows (with packing: bins) of a micro-batch'),
  accumulation: z.int().min(1).default(1).describe('micro-batches of an optimiser step'),
  order: z.enum(['shuffle', 'sequential']).default('shuffle').describe('order of the rows in each epoch'),
  seed: z.int().min(0).default(42).describe('of everything that is random'),
  packing: z.int().min(2).optional().describe('pack rows into bins of at most so many tokens (best-fit decreasing)'),
  gradientCheckpointing: z
    .boolean()
    .default(false)
    .describe('compute blocks again instead of keeping what they computed'),
  neftuneAlpha: z.number().positive().optional().describe('noise on embeddings (NEFTune)'),
  optimizer: optimizerOptions,
  schedule: scheduleOptions.prefault({}),
  checkpoints: checkpointOptions.prefault({}),
  evaluation: evaluationOptions.prefault({}),
});

export type OptimizerOptions = z.infer<typeof optimizerOptions>;
export type CheckpointOptions = z.infer<typeof checkpointOptions>;
export type EvaluationOptions = z.infer<typeof evaluationOptions>;
export type TrainingOptions = z.infer<typeof trainingOptions>;
