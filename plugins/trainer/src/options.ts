import { dataOptions } from '@largeforge/data';
import {
  checkpointOptions,
  checkpointPolicy,
  evaluationOptions,
  lossScaleOptions,
  optimizerOptions,
  scheduleOptions,
  spikeOptions,
  trainingOptions,
} from '@largeforge/engine';
import { z } from 'zod';
import { pruningOptions } from './weight-pruning.js';

const path = z.string().min(1);

const lora = z.strictObject({
  r: z.int().positive().default(16).describe('rank'),
  alpha: z.number().positive().default(32).describe('scale: alpha / r, or alpha / sqrt(r) with rslora'),
  dropout: z.number().min(0).lt(1).default(0).describe("of the branches' input"),
  targetModules: z
    .union([path, z.array(path)])
    .default('all-linear')
    .describe('all-linear, names of modules, or a regular expression over whole names, as PEFT takes them'),
  rslora: z.boolean().default(false).describe('rank-stabilised scale'),
  dora: z
    .boolean()
    .default(false)
    .describe("train the lengths of the weights' rows apart from their directions (DoRA)"),
  bias: z.enum(['none', 'all', 'lora_only']).default('none').describe('biases of the base model that are trained too'),
  modulesToSave: z.array(path).default([]).describe('modules that are trained in full beside the adapter'),
});

/** A data set: a path, several, or an object that says how they are read. The length limit is the trainer's. */
const dataset = z.preprocess(
  (value) => (typeof value === 'string' || Array.isArray(value) ? { paths: value } : value),
  dataOptions.omit({ maxLength: true }),
);

const { type, warmupSteps, warmupRatio, minimumRatio, decayRatio, decayShape, cycles, power, points } =
  scheduleOptions.shape;
const { weightDecay, beta1, beta2, epsilon, maxGradNorm, momentum, loraPlusRatio, layerDecay, rates } =
  optimizerOptions.shape;

/** `all`, `none`, `auto`, `every:2` and `first:8` stand for what the policy is in full, so that a flag can say it. */
const policy = z.preprocess(
  (value) => {
    if (value === 'all' || value === 'none') return value === 'all';
    const [, kind, count] = (typeof value === 'string' && /^(every|first):(\d+)$/.exec(value)) || [];
    return kind === undefined ? value : { [kind]: Number(count) };
  },
  z.union([checkpointPolicy, z.literal('auto')]),
);

/**
 * Options that every trainer has; a trainer puts them into its own schema beside those of its method, and has them
 * checked by `checkTrainerOptions`. Names and defaults are those that users of PEFT and TRL expect.
 */
export const trainerOptions = z.strictObject({
  model: path.describe('folder, .gguf file or cached name'),
  adapter: path.optional().describe('LoRA adapter to go on training, instead of a new one'),
  dataset: dataset.describe('data files: a path, several, or {paths, format, columns, ...}'),
  evalDataset: dataset.optional().describe('held-out data'),
  evalSplit: z
    .number()
    .min(0)
    .default(0)
    .describe('rows of the data set to hold out: a share below 1, else a count; 0 holds none out'),
  outputDir: path.optional().describe('where the adapter (or the model) and the checkpoints go'),
  full: z.boolean().default(false).describe('train every weight instead of a LoRA adapter'),
  lora: lora.prefault({}),
  epochs: z.number().positive().default(3).describe('passes over the data; ignored when maxSteps is given'),
  maxSteps: z.int().positive().optional().describe('optimiser steps'),
  batchSize: z.int().positive().default(4).describe('rows (with packing: bins) of a micro-batch'),
  gradientAccumulation: z.int().positive().default(1).describe('micro-batches of an optimiser step'),
  maxLength: z.int().min(2).default(1024).describe('tokens of a row at most; see dataset.overlong'),
  packing: z
    .boolean()
    .default(false)
    .describe('lay several rows into each of maxLength tokens; they do not see each other'),
  order: z.enum(['shuffle', 'sequential']).default('shuffle').describe('order of the rows in each epoch'),
  learningRate: z
    .number()
    .positive()
    .optional()
    .describe('peak; unless given, what suits the method, lower in full than with LoRA'),
  optimizer: optimizerOptions.shape.type,
  momentum,
  loraPlusRatio,
  layerDecay,
  rates,
  weightDecay,
  beta1,
  beta2,
  epsilon,
  maxGradNorm,
  scheduler: type,
  warmupSteps,
  warmupRatio,
  minimumRatio,
  decayRatio,
  decayShape,
  cycles,
  power,
  points,
  precision: z
    .enum(['bf16', 'f16', 'f32'])
    .default('bf16')
    .describe('of weights and activations; sums and masters are f32, f16 scales the loss'),
  lossScale: lossScaleOptions.prefault({}).describe('of f16'),
  frozenWeights: z
    .enum(['float', 'as-stored', 'nf4'])
    .default('float')
    .describe(
      'of the layers beside an adapter: floats; the bits of a quantised GGUF, AWQ, GPTQ or bitsandbytes model; or NF4 with double quantisation (QLoRA)',
    ),
  gradientCheckpointing: policy
    .default(false)
    .describe(
      'compute blocks again instead of keeping what they computed: all, none, every:N, first:N, or auto, as many as the free memory asks for',
    ),
  averageDecay: trainingOptions.shape.averageDecay,
  spikes: spikeOptions.prefault({}).describe('what is done about a step whose loss lies far above those before it'),
  deterministic: z
    .boolean()
    .default(false)
    .describe('refuse a backend that does not promise the same bits for the same seed'),
  neftuneAlpha: z.number().positive().optional().describe('noise on embeddings (NEFTune)'),
  pruning: pruningOptions.optional().describe('weights that become 0, or stay 0, while every weight is trained'),
  seed: z.int().nonnegative().default(42).describe('of everything that is random'),
  saveSteps: checkpointOptions.shape.steps,
  saveMinutes: checkpointOptions.shape.minutes,
  keepCheckpoints: checkpointOptions.shape.keep,
  keepEvery: checkpointOptions.shape.keepEvery,
  backgroundCheckpoints: checkpointOptions.shape.background,
  evalSteps: evaluationOptions.shape.steps,
  evalOnStart: evaluationOptions.shape.onStart,
  keepBest: evaluationOptions.shape.keepBest,
  metric: evaluationOptions.shape.metric,
  goal: evaluationOptions.shape.goal,
  patience: evaluationOptions.shape.patience,
  minImprovement: evaluationOptions.shape.minImprovement,
  dryRun: z
    .boolean()
    .default(false)
    .describe('print the data report, the memory estimate and the plan, and train nothing'),
});

export type TrainerOptions = z.output<typeof trainerOptions>;

/** Refuses options that contradict each other: the `superRefine` of a trainer's schema. */
export function checkTrainerOptions(options: TrainerOptions, context: z.RefinementCtx): void {
  const wrong = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
  if (options.full && options.adapter !== undefined)
    wrong('full', 'false beside an adapter, which is never trained in full');
  if (options.pruning && !options.full)
    wrong('pruning', 'none, or full: true: an adapter leaves the weights as they are');
  const heldOut = options.evalDataset !== undefined || options.evalSplit > 0;
  if (options.evalDataset !== undefined && options.evalSplit > 0)
    wrong('evalSplit', '0 beside evalDataset, whose rows are held out already');
  if (options.keepBest && !heldOut) wrong('keepBest', 'false, or held-out rows (evalDataset or evalSplit)');
  if (options.full && options.frozenWeights !== 'float')
    wrong('frozenWeights', 'float with full: true, which leaves no layer frozen');
  if (options.loraPlusRatio !== undefined && options.full)
    wrong('loraPlusRatio', 'none in full training, which has no B');
  if (options.lora.dora && options.lora.dropout > 0)
    context.addIssue({ code: 'custom', path: ['lora', 'dropout'], message: '0 with dora' });
  if (options.scheduler === 'list' && !options.points)
    wrong('points', 'pairs of a share of the steps and a share of the peak');
  if (options.patience !== undefined && !heldOut)
    wrong('patience', 'none, or held-out rows (evalDataset or evalSplit)');
}
