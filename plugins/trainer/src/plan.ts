import { freemem } from 'node:os';
import type { StepContext } from '@largeforge/core';
import {
  estimateMemory,
  type MemoryEstimate,
  type ModelSource,
  packBestFitDecreasing,
  parseModelConfig,
  type RowSource,
  type TrainingOptions,
  totalStepsOf,
  warmupSteps,
} from '@largeforge/engine';
import type { TrainerOptions } from './options.js';

interface PlannedRows {
  readonly source: ModelSource;
  /** Models that are only asked. */
  readonly frozen: readonly ModelSource[];
  readonly folder: string;
  readonly rows: Pick<RowSource<unknown>, 'lengths'>;
  /** Indices of the rows that are trained on; all unless given. */
  readonly training?: ArrayLike<number>;
  readonly heldOut?: { readonly rows: ArrayLike<number> };
}

/** Tells, before anything is computed, what will run and how much memory it takes. */
export function announcePlan(
  context: StepContext<'train'>,
  options: TrainerOptions,
  training: TrainingOptions,
  planned: PlannedRows,
): void {
  const { events, name: task } = context;
  const { steps, perEpoch, units } = countSteps(training, planned);
  const { learningRate } = training.optimizer;
  const { accumulation, batchSize, schedule } = training;
  const rows = planned.training?.length ?? planned.rows.lengths.length;
  const what = options.full ? 'every weight' : options.adapter ? `the adapter ${options.adapter}` : loraWords(options);
  const lines = [
    `plan: ${what} of ${planned.source.path}, ${training.optimizer.weightDecay > 0 ? 'AdamW with decay' : 'AdamW'}, ${options.precision}`,
    `  ${rows} rows${training.packing === undefined ? '' : ` in ${units} bins of ${training.packing} tokens`}, ` +
      `${batchSize * accumulation} a step: ${steps} steps, ${perEpoch} an epoch`,
    `  learning rate ${learningRate}, ${schedule.type}, ${warmupSteps(schedule, steps)} steps of warm-up`,
    planned.heldOut
      ? `  ${planned.heldOut.rows.length} held-out rows, looked at every ${training.evaluation.steps ?? perEpoch} steps`
      : '  no held-out rows',
    `  writes to ${planned.folder}`,
  ];
  events.emit({ type: 'plan', task, lines });
  const estimate = trainingMemory(options, training.packing, planned);
  events.emit({
    type: 'memory.estimate',
    task,
    lines: memoryLines(estimate, frozenBytes(options, planned)),
    estimate: { ...estimate },
  });
}

function countSteps({ packing, ...options }: TrainingOptions, { rows, training }: PlannedRows) {
  const all = training ?? Uint32Array.from({ length: rows.lengths.length }, (_, row) => row);
  const units =
    packing === undefined ? all.length : packBestFitDecreasing(rows.lengths, packing, { rows: all }).starts.length - 1;
  const perEpoch = Math.ceil(Math.ceil(units / options.batchSize) / options.accumulation);
  return { units, perEpoch, steps: totalStepsOf(options, perEpoch) };
}

function loraWords({ lora }: TrainerOptions): string {
  const { r, alpha, dropout, targetModules, rslora } = lora;
  const targets = Array.isArray(targetModules) ? targetModules.join(', ') : targetModules;
  return `LoRA r ${r}, alpha ${alpha}${rslora ? ' (rank-stabilised)' : ''}${dropout > 0 ? `, dropout ${dropout}` : ''} on ${targets},`;
}

function trainingMemory(
  options: TrainerOptions,
  binTokens: number | undefined,
  { source, rows, training }: PlannedRows,
): MemoryEstimate {
  const { lora, full, precision, batchSize, gradientCheckpointing } = options;
  let longest = 0;
  if (binTokens !== undefined) longest = binTokens;
  else if (training) for (let i = 0; i < training.length; i++) longest = Math.max(longest, rows.lengths[training[i]!]!);
  else for (let i = 0; i < rows.lengths.length; i++) longest = Math.max(longest, rows.lengths[i]!);
  const { r, targetModules } = lora;
  return estimateMemory(parseModelConfig(source.config), {
    dtype: precision,
    tokens: batchSize * longest,
    training: { ...(full ? {} : { lora: { r, targetModules } }), checkpointing: gradientCheckpointing },
  });
}

/** Weights of the models that are only asked. */
function frozenBytes({ precision }: TrainerOptions, { frozen }: PlannedRows): number {
  const weights = (source: ModelSource) =>
    estimateMemory(parseModelConfig(source.config), { dtype: precision, tokens: 1 }).weights;
  return frozen.reduce((sum, source) => sum + weights(source), 0);
}

function memoryLines(estimate: MemoryEstimate, frozen: number): string[] {
  const { weights, gradients, optimizer, activations, total, parameters, trainableParameters } = estimate;
  const share = ((100 * trainableParameters) / parameters).toFixed(2);
  return [
    `memory: about ${bytes(total + frozen)} of ${bytes(freemem())} free: weights ${bytes(weights)}, gradients ${bytes(gradients)}, ` +
      `optimiser ${bytes(optimizer)}, activations up to ${bytes(activations)}${frozen > 0 ? `, models that are not trained ${bytes(frozen)}` : ''}`,
    `  ${trainableParameters.toLocaleString('en-US')} of ${parameters.toLocaleString('en-US')} parameters are trained (${share} %)`,
  ];
}

function bytes(count: number): string {
  return count >= 2 ** 30 ? `${(count / 2 ** 30).toFixed(1)} GiB` : `${Math.ceil(count / 2 ** 20)} MiB`;
}
