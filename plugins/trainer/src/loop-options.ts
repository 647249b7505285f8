import { type TrainingOptions, trainingOptions } from '@largeforge/engine';
import type { TrainerOptions } from './options.js';

/** The peak learning rate of a method when the config gives none. */
export interface LearningRates {
  readonly adapter: number;
  readonly full: number;
}

/**
 * The training loop's options, of those that people set.
 * @param binTokens of a bin when rows are packed
 */
export function loopOptions(
  options: TrainerOptions,
  rates: LearningRates,
  binTokens = options.maxLength,
): TrainingOptions {
  const { weightDecay, beta1, beta2, epsilon, maxGradNorm, momentum, full } = options;
  const { loraPlusRatio, layerDecay, rates: factors } = options;
  const { scheduler: type, warmupSteps, warmupRatio, minimumRatio } = options;
  const { decayRatio, decayShape, cycles, power, points } = options;
  const { epochs, maxSteps, batchSize, order, seed, gradientCheckpointing, neftuneAlpha } = options;
  return trainingOptions.parse({
    epochs,
    maxSteps,
    batchSize,
    accumulation: options.gradientAccumulation,
    order,
    seed,
    packing: options.packing ? binTokens : undefined,
    // Decided when the memory is known.
    gradientCheckpointing: gradientCheckpointing === 'auto' ? false : gradientCheckpointing,
    neftuneAlpha,
    lossScale: options.precision === 'f16' ? options.lossScale : undefined,
    averageDecay: options.averageDecay,
    spikes: options.spikes,
    optimizer: {
      type: options.optimizer,
      momentum,
      loraPlusRatio,
      layerDecay,
      rates: factors,
      learningRate: options.learningRate ?? (full ? rates.full : rates.adapter),
      weightDecay,
      beta1,
      beta2,
      epsilon,
      maxGradNorm,
    },
    schedule: { type, warmupSteps, warmupRatio, minimumRatio, decayRatio, decayShape, cycles, power, points },
    checkpoints: {
      steps: options.saveSteps,
      minutes: options.saveMinutes,
      keep: options.keepCheckpoints,
      keepEvery: options.keepEvery,
      background: options.backgroundCheckpoints,
    },
    evaluation: {
      steps: options.evalSteps,
      onStart: options.evalOnStart,
      keepBest: options.keepBest,
      metric: options.metric,
      goal: options.goal,
      patience: options.patience,
      minImprovement: options.minImprovement,
    },
  });
}
