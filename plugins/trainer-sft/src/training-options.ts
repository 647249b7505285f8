import { type TrainingOptions, trainingOptions } from '@largeforge/engine';
import type { SftOptions } from './options.js';

/** The training loop's options, of those that people set. */
export function loopOptions(options: SftOptions): TrainingOptions {
  const { weightDecay, beta1, beta2, epsilon, maxGradNorm, full } = options;
  const { scheduler, warmupSteps, warmupRatio, minimumRatio, decayRatio, decayShape } = options;
  const { epochs, maxSteps, batchSize, order, seed, gradientCheckpointing, neftuneAlpha } = options;
  return trainingOptions.parse({
    epochs,
    maxSteps,
    batchSize,
    accumulation: options.gradientAccumulation,
    order,
    seed,
    packing: options.packing ? options.maxLength : undefined,
    gradientCheckpointing,
    neftuneAlpha,
    optimizer: {
      learningRate: options.learningRate ?? (full ? 2e-5 : 2e-4),
      weightDecay,
      beta1,
      beta2,
      epsilon,
      maxGradNorm,
    },
    schedule: { type: scheduler, warmupSteps, warmupRatio, minimumRatio, decayRatio, decayShape },
    checkpoints: { steps: options.saveSteps, minutes: options.saveMinutes, keep: options.keepCheckpoints },
    evaluation: {
      steps: options.evalSteps,
      onStart: options.evalOnStart,
      keepBest: options.keepBest,
      patience: options.patience,
    },
  });
}
