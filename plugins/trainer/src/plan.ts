import { freemem } from 'node:os';
import type { StepContext } from '@largeforge/core';
import {
  type CheckpointPolicy,
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

/** A model that is only asked, and whether its weights stay in the bits of its files. */
export interface FrozenModel {
  readonly source: ModelSource;
  readonly asStored?: boolean;
}

interface PlannedRows {
  readonly source: ModelSource;
  readonly frozen: readonly FrozenModel[];
  readonly folder: string;
  readonly rows: Pick<RowSource<unknown>, 'lengths'>;
  /** Indices of the rows that are trained on; all unless given. */
  readonly training?: ArrayLike<number>;
  readonly heldOut?: { readonly rows: ArrayLike<number> };
}

/**
 * Tells, before anything is computed, what will run and how much memory it takes.
 * @returns which blocks are computed again
 */
export function announcePlan(
  context: StepContext<'train'>,
  options: TrainerOptions,
  training: TrainingOptions,
  planned: PlannedRows,
): CheckpointPolicy {
  const { events, name: task } = context;
  const { steps, perEpoch, units } = countSteps(training, planned);
  const { learningRate } = training.optimizer;
  const { accumulation, batchSize, schedule } = training;
  const rows = planned.training?.length ?? planned.rows.lengths.length;
  const what = options.full ? 'every weight' : options.adapter ? `the adapter ${options.adapter}` : loraWords(options);
  const lines = [
    `plan: ${what} of ${planned.source.path}, ${optimizerWords(training)}, ${options.precision}${frozenWords(options)}`,
    `  ${rows} rows${training.packing === undefined ? '' : ` in ${units} bins of ${training.packing} tokens`}, ` +
      `${batchSize * accumulation} a step: ${steps} steps, ${perEpoch} an epoch`,
    `  learning rate ${learningRate}, ${schedule.type}, ${warmupSteps(schedule, steps)} steps of warm-up`,
    planned.heldOut
      ? `  ${planned.heldOut.rows.length} held-out rows, looked at every ${training.evaluation.steps ?? perEpoch} steps`
      : '  no held-out rows',
    `  writes to ${planned.folder}`,
  ];
  events.emit({ type: 'plan', task, lines });
  const { policy, estimate } = trainingMemory(options, training.packing, planned);
  const extra = frozenBytes(options, planned);
  events.emit({
    type: 'memory.estimate',
    task,
    lines: [...memoryLines(estimate, extra), ...policyLines(options, policy)],
    estimate: { ...estimate },
  });
  return policy;
}

function optimizerWords({ optimizer: { type, weightDecay }, averageDecay }: TrainingOptions): string {
  const names = { adamw: 'AdamW', adamw_8bit: 'AdamW in 8 bits', lion: 'Lion', adafactor: 'Adafactor', muon: 'Muon' };
  const average = averageDecay === undefined ? '' : ', saved as a moving average';
  return `${names[type]}${weightDecay > 0 ? ' with decay' : ''}${average}`;
}

function frozenWords({ frozenWeights }: TrainerOptions): string {
  if (frozenWeights === 'float') return '';
  return frozenWeights === 'nf4' ? ', frozen layers in NF4' : ', frozen layers as they are stored';
}

function policyLines({ gradientCheckpointing }: TrainerOptions, policy: CheckpointPolicy): string[] {
  if (gradientCheckpointing !== 'auto' || typeof policy === 'boolean' || !('first' in policy)) return [];
  return [`  ${policy.first === 0 ? 'no blocks are' : `the first ${policy.first} blocks are`} computed again`];
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

/** The memory that a training takes, and which blocks must be computed again for it. */
function trainingMemory(
  options: TrainerOptions,
  binTokens: number | undefined,
  planned: PlannedRows,
): { policy: CheckpointPolicy; estimate: MemoryEstimate } {
  const { source, rows, training } = planned;
  const { lora, full, precision, batchSize, gradientCheckpointing, frozenWeights } = options;
  let longest = 0;
  if (binTokens !== undefined) longest = binTokens;
  else if (training) for (let i = 0; i < training.length; i++) longest = Math.max(longest, rows.lengths[training[i]!]!);
  else for (let i = 0; i < rows.lengths.length; i++) longest = Math.max(longest, rows.lengths[i]!);
  const { r, targetModules, dora, modulesToSave } = lora;
  const config = parseModelConfig(source.config);
  const frozenBits = frozenWeights === 'float' ? undefined : frozenWeights === 'nf4' ? nf4Bits : storedBits(source);
  const estimate = (checkpointing: CheckpointPolicy) =>
    estimateMemory(config, {
      dtype: precision,
      tokens: batchSize * longest,
      training: {
        ...(full ? {} : { lora: { r, targetModules, dora, modulesToSave } }),
        ...(frozenBits === undefined ? {} : { frozenBits }),
        checkpointing,
        optimizer: options.optimizer,
        average: options.averageDecay !== undefined,
      },
    });
  if (gradientCheckpointing !== 'auto') {
    return { policy: gradientCheckpointing, estimate: estimate(gradientCheckpointing) };
  }
  // What the estimate does not know (scratch memory, the process itself) must fit as well.
  const most = 0.85 * freemem() - frozenBytes(options, planned);
  for (let first = 0; first < config.numLayers; first++) {
    const tried = estimate({ first });
    if (tried.total <= most) return { policy: { first }, estimate: tried };
  }
  const policy = { first: config.numLayers };
  return { policy, estimate: estimate(policy) };
}

/** Of an element in blocks of 64 with scales of 8 bits, which 256 by 256 have a scale of 32. */
const nf4Bits = 4 + 8 / 64 + 32 / (64 * 256);

/** Bits of an element of a model's layers as its files have them, on average. */
function storedBits({ tensors }: ModelSource): number {
  let [bytes, elements] = [0, 0];
  for (const [name, { bytes: own, shape, quantized }] of tensors) {
    if (shape.length !== 2 || !/\.\d+\./.test(name)) continue;
    // Scales of 4-bit bitsandbytes weights are one part in thirty of them.
    const parts = quantized ? [quantized.codes, quantized.scales, quantized.zeros, quantized.groupIndex] : [];
    bytes += quantized ? parts.reduce((sum, part) => sum + (part?.bytes ?? 0), 0) : own;
    elements += shape.reduce((a, b) => a * b, 1);
  }
  return elements === 0 ? 16 : (8 * bytes) / elements;
}

/** Weights of the models that are only asked. */
function frozenBytes({ precision }: TrainerOptions, { frozen }: PlannedRows): number {
  const weights = ({ source, asStored }: FrozenModel) => {
    const bits = asStored ? storedBits(source) : 16;
    const stored = bits < 16 ? { weightBits: bits } : {};
    return estimateMemory(parseModelConfig(source.config), { dtype: precision, tokens: 1, ...stored }).weights;
  };
  return frozen.reduce((sum, model) => sum + weights(model), 0);
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
