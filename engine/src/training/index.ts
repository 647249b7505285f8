export { deleteFolder, removeUnfinished, writeFolder } from './checkpoint/durable-folder.js';
export { CheckpointStore, type DamagedCheckpoint } from './checkpoint/store.js';
export { chunkedLogitLoss, type RowRange } from './chunked-logits.js';
export { evaluateRows } from './evaluate.js';
export type { TrainingEvent } from './events.js';
export { nextTokenObjective } from './next-token.js';
export type {
  HostLoss,
  HostResult,
  Loss,
  LossContext,
  MicroBatch,
  Objective,
  RecordedLoss,
  Sum,
  Trainable,
} from './objective.js';
export {
  type CheckpointOptions,
  checkpointOptions,
  checkpointPolicy,
  type EvaluationOptions,
  evaluationOptions,
  type LossScaleOptions,
  lossScaleOptions,
  type OptimizerOptions,
  optimizerOptions,
  type SpikeOptions,
  spikeOptions,
  type TrainingOptions,
  trainingOptions,
} from './options.js';
export { type Bins, packBestFitDecreasing, unpackedBins } from './packing.js';
export { PhiloxStream, permutation, type RandomStream, seedWords, streamOf } from './random.js';
export { memoryRows, type RowSource } from './row-source.js';
export { BatchSampler, type SamplerCursor, type SamplerOptions, splitRows } from './sampler.js';
export { learningRate, type ScheduleOptions, scheduleOptions, warmupSteps } from './schedule.js';
export { ignoredLabel, type TokenBatch, type TokenRow, targetsOf, tokenBatch } from './token-batch.js';
export {
  type AnyTokenLossDefinition,
  crossEntropyLoss,
  defineTokenLoss,
  type TokenLoss,
  type TokenLossDefinition,
  type TokenLossInput,
} from './token-loss.js';
export { type TrainingResult, type TrainingRun, totalStepsOf, train } from './train.js';
