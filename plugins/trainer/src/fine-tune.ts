import { join } from 'node:path';
import type { StepContext } from '@largeforge/core';
import {
  type CausalLanguageModel,
  type Objective,
  openDevice,
  type Parameter,
  type RowSource,
  splitRows,
  type Tokenizer,
  type Trainable,
  type TrainingResult,
  train,
} from '@largeforge/engine';
import { trainerErrors } from './errors.js';
import { type LearningRates, loopOptions } from './loop-options.js';
import type { TrainerOptions } from './options.js';
import { announcePlan, type FrozenModel } from './plan.js';
import { report } from './report.js';
import { type BaseModel, openModel, saver } from './trained-model.js';
import { WeightPruning } from './weight-pruning.js';

/** Names of what a training step hands to later steps. */
export const trainerOutputs = ['adapter', 'model', 'loss', 'evalLoss', 'steps'] as const;

/** What a method adds to a training: its rows and what it minimises. */
export interface FineTuning<Row, Batch> extends BaseModel {
  /** By which the rows were rendered; saved beside the weights. */
  readonly tokenizer: Tokenizer;
  readonly rows: RowSource<Row>;
  /** Held-out rows of their own; without them `evalSplit` holds rows of `rows` out, unless `training` is given. */
  readonly heldOut: RowSource<Row> | undefined;
  readonly learningRates: LearningRates;
  /** Rows that are trained on, in order, instead of those that are not held out; a row may come again. */
  readonly training?: ArrayLike<number>;
  /** Tokens of a bin when rows are packed; `maxLength` unless given. */
  readonly binTokens?: number;
  /** Further models that are in memory while training. */
  readonly frozen?: readonly FrozenModel[];
  /** Called once, before the first step, with the model as it starts. */
  readonly objective: (model: CausalLanguageModel) => Objective<Row, Batch> | Promise<Objective<Row, Batch>>;
  /** Called when everything is saved; adds to the step's outputs. */
  readonly finished?: (result: TrainingResult) => Record<string, unknown> | Promise<Record<string, unknown>>;
}

/**
 * Runs a training from its options to saved weights: tells the plan and the memory it takes, opens the model, trains
 * with checkpoints, saves. Nothing is opened or written on a dry run.
 * @returns the outputs of the step, by the names of `trainerOutputs`
 */
export async function fineTune<Row, Batch>(
  context: StepContext<'train'>,
  options: TrainerOptions,
  tuning: FineTuning<Row, Batch>,
) {
  const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
  const training = loopOptions(options, tuning.learningRates, tuning.binTokens);
  const rows = { rows: tuning.rows, ...divideRows(tuning, options) };
  const planned = { source: tuning.source, frozen: tuning.frozen ?? [], folder, ...rows };
  const gradientCheckpointing = announcePlan(context, options, training, planned);
  if (options.dryRun) return { steps: 0 };
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  try {
    const { kind, name } = device.properties;
    if (options.deterministic && kind !== 'cpu') throw trainerErrors.LF_TRAINER_NOT_DETERMINISTIC({ device: name });
    const model = await openModel(context, device, tuning.source, options);
    const save = saver(model, tuning, tuning.tokenizer, options);
    const objective = await tuning.objective(model);
    using pruning = options.pruning && new WeightPruning(model, options.pruning);
    await pruning?.start();
    const result = await train({
      model: withParameters(model, objective.parameters),
      objective,
      ...rows,
      folder: join(folder, 'checkpoints'),
      resume: context.resume,
      overwrite: context.force,
      signal: context.signal,
      saveWeights: save,
      options: { ...training, gradientCheckpointing },
      async onEvent(event) {
        await pruning?.follow(event);
        await report(context, event);
      },
    });
    if (result.aborted) throw context.signal.reason;
    await save(folder);
    return { ...outputs(result, folder, options), ...(await tuning.finished?.(result)) };
  } finally {
    device[Symbol.dispose]();
  }
}

/** The model with what its loss has to learn besides. What is saved is the model's alone. */
function withParameters(model: CausalLanguageModel, added: ReadonlyMap<string, Parameter> | undefined): Trainable {
  if (!added || added.size === 0) return model;
  return {
    device: model.device,
    config: model.config,
    trainableParameters: () => new Map([...model.trainableParameters(), ...added]),
    zeroGrad() {
      model.zeroGrad();
      for (const parameter of added.values()) parameter.zeroGrad();
    },
  };
}

/** The rows that are trained on, and those that are held out. */
function divideRows<Row, Batch>(
  { rows, heldOut, training }: FineTuning<Row, Batch>,
  { evalSplit, seed }: TrainerOptions,
) {
  const given = training ? { training } : {};
  if (heldOut) {
    const all = Uint32Array.from({ length: heldOut.lengths.length }, (_, row) => row);
    return { ...given, heldOut: { source: heldOut, rows: all } };
  }
  if (evalSplit === 0 || training) return given;
  const split = splitRows(rows.lengths.length, evalSplit, seed);
  return { training: split.training, heldOut: { source: rows, rows: split.heldOut } };
}

function outputs({ losses, step, evaluation }: TrainingResult, folder: string, { full }: TrainerOptions) {
  return {
    ...(full ? { model: folder } : { adapter: folder }),
    loss: losses.at(-1) ?? Number.NaN,
    ...(evaluation?.loss === undefined ? {} : { evalLoss: evaluation.loss }),
    steps: step,
  };
}
