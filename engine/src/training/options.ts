import { z } from 'zod';
import { scheduleOptions } from './schedule.js';

/** How gradients move the parameters. Norms and biases do not decay. */
export const optimizerOptions = z.strictObject({
  type: z
    .enum(['adamw', 'adamw_8bit', 'lion', 'adafactor', 'muon'])
    .default('adamw')
    .describe('adamw_8bit keeps its moments in 8 bits; muon is for matrices, AdamW beside it for the rest'),
  learningRate: z.number().positive().describe('peak learning rate'),
  weightDecay: z.number().min(0).default(0).describe('decay of matrices; norms and biases never decay'),
  beta1: z.number().min(0).lt(1).default(0.9).describe('of the first moment (adamw, adamw_8bit, lion)'),
  beta2: z.number().min(0).lt(1).optional().describe('of the second moment, 0.999; with lion of its momentum, 0.99'),
  epsilon: z.number().positive().default(1e-8).describe('of adamw and adamw_8bit'),
  momentum: z.number().min(0).lt(1).default(0.95).describe('of muon'),
  loraPlusRatio: z.number().positive().optional().describe('LoRA+: learning rate of B as a multiple of that of A'),
  layerDecay: z
    .number()
    .positive()
    .max(1)
    .optional()
    .describe('learning rate of a layer as a share of that of the layer above it'),
  rates: z
    .record(z.string().refine(isPattern, 'no regular expression'), z.number().min(0))
    .optional()
    .describe(
      'multiples of the learning rate by a regular expression over parameter names; the first that matches counts',
    ),
  maxGradNorm: z.number().min(0).default(1).describe('gradients are scaled down to this global norm; 0 is off'),
});

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

/** When checkpoints are written and which are kept. */
export const checkpointOptions = z.strictObject({
  steps: z.int().min(1).optional().describe('a checkpoint every so many optimiser steps'),
  minutes: z.number().positive().optional().describe('a checkpoint when so many minutes have passed'),
  keep: z.int().min(1).default(2).describe('latest checkpoints that are kept; the best one is kept besides'),
  keepEvery: z.int().min(1).optional().describe('steps of whose multiples checkpoints are kept for good'),
  background: z
    .boolean()
    .default(true)
    .describe('training goes on while a checkpoint is digested and forced to disk; what it holds is the same'),
});

/** When the held-out rows are looked at, and what follows from it. */
export const evaluationOptions = z.strictObject({
  onStart: z.boolean().default(false).describe('look at the held-out rows before the first step too'),
  steps: z.int().min(1).optional().describe('optimiser steps between evaluations; the end of each epoch unless given'),
  batchSize: z.int().min(1).optional().describe('rows of a batch; that of training unless given'),
  keepBest: z.boolean().default(false).describe('end with the weights of the best evaluation'),
  metric: z.string().min(1).default('loss').describe('what tells which evaluation is better'),
  goal: z.enum(['lower', 'higher']).default('lower').describe('which values of the metric are better'),
  patience: z.int().min(1).optional().describe('evaluations without improvement after which training stops'),
  minImprovement: z.number().min(0).default(0).describe('an evaluation must be better by more than this to count'),
});

/**
 * What is done about a step whose loss or gradient norm lies far above those of the steps before it (OLMo 2, Walsh et al.
 * 2025, section 3.1): more than `deviations` standard deviations above their mean. At least half a window must be behind.
 */
export const spikeOptions = z.strictObject({
  action: z
    .enum(['none', 'skip', 'rollback'])
    .default('none')
    .describe(
      'skip: the step changes nothing; rollback: back to the last checkpoint, and on behind the rows of the step',
    ),
  window: z.int().min(2).default(128).describe('steps that are compared with'),
  deviations: z.number().positive().default(6).describe('standard deviations above the mean that are too many'),
});

/** Dynamic loss scaling, in the terms of PyTorch's GradScaler. */
export const lossScaleOptions = z.strictObject({
  initial: z.number().positive().default(65536),
  growthFactor: z.number().gt(1).default(2),
  backoffFactor: z.number().positive().lt(1).default(0.5),
  growthInterval: z.int().min(1).default(2000).describe('steps without an overflow after which the scale grows'),
});

/**
 * Which blocks are computed again in the backward pass: all or none of them, every n-th one, or the first n (in Megatron's
 * terms the uniform and the block method).
 */
export const checkpointPolicy = z.union([
  z.boolean(),
  z.strictObject({ every: z.int().min(1) }),
  z.strictObject({ first: z.int().min(0) }),
]);

/** What the training loop does, whatever the objective. */
export const trainingOptions = z.strictObject({
  epochs: z.number().positive().default(3).describe('passes over the data; ignored when maxSteps is given'),
  maxSteps: z.int().min(1).optional().describe('optimiser steps'),
  batchSize: z.int().min(1).default(4).describe('rows (with packing: bins) of a micro-batch'),
  accumulation: z.int().min(1).default(1).describe('micro-batches of an optimiser step'),
  order: z.enum(['shuffle', 'sequential']).default('shuffle').describe('order of the rows in each epoch'),
  seed: z.int().min(0).default(42).describe('of everything that is random'),
  packing: z.int().min(2).optional().describe('pack rows into bins of at most so many tokens (best-fit decreasing)'),
  gradientCheckpointing: checkpointPolicy
    .default(false)
    .describe('compute blocks again instead of keeping what they computed'),
  neftuneAlpha: z.number().positive().optional().describe('noise on embeddings (NEFTune)'),
  optimizer: optimizerOptions,
  lossScale: lossScaleOptions.optional().describe('for gradients in f16, whose range is short'),
  averageDecay: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe('decay of a moving average of the weights, which is what is evaluated and saved'),
  spikes: spikeOptions.prefault({}),
  schedule: scheduleOptions.prefault({}),
  checkpoints: checkpointOptions.prefault({}),
  evaluation: evaluationOptions.prefault({}),
});

export type SpikeOptions = z.infer<typeof spikeOptions>;
export type LossScaleOptions = z.infer<typeof lossScaleOptions>;
export type OptimizerOptions = z.infer<typeof optimizerOptions>;
export type CheckpointOptions = z.infer<typeof checkpointOptions>;
export type EvaluationOptions = z.infer<typeof evaluationOptions>;
export type TrainingOptions = z.infer<typeof trainingOptions>;
