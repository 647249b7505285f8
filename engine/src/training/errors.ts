import { defineEngineErrors } from '../errors.js';

/** A step whose loss or gradients are not finite. */
export interface DivergedStep {
  step: number;
  what: string;
  loss: number;
  gradNorm: number;
  /** The operation or the parameter where the first such number was seen, when it was found. */
  where?: string | undefined;
}

/** What can go wrong in training. */
export const trainingErrors = defineEngineErrors({
  TRAIN_DIVERGED: {
    message: ({ step, what, loss, gradNorm, where }: DivergedStep) =>
      `the ${what} is not finite at step ${step} (loss ${loss}, gradient norm ${gradNorm})${where ? `: first in ${where}` : ''}`,
    remedy: () =>
      'lower the learning rate or lengthen the warm-up, look at the rows of this step, or train in f32; --resume goes ' +
      'on from the last checkpoint, which is from before this step',
  },
  TRAIN_SPIKES: {
    message: ({ step, times, what }: { step: number; times: number; what: 'skipped in a row' | 'rolled back' }) =>
      `at step ${step} the loss has risen out of bounds ${times} times: ${what}, it does not come back`,
    remedy: () => 'lower the learning rate, look at the rows of these steps, or raise spikes.deviations',
  },
  TRAIN_NO_METRIC: {
    message: ({ metric, known }: { metric: string; known: readonly string[] }) =>
      `evaluations have no '${metric}'; they have ${known.join(', ')}`,
    remedy: () => 'name one of these as the metric that tells which evaluation is better',
  },
  TRAIN_NOTHING_TRAINABLE: {
    message: () => 'no parameter of the model is trainable',
    remedy: () => 'attach an adapter whose target modules exist in the model, or train all parameters',
  },
  TRAIN_NO_ROWS: {
    message: ({ rows, heldOut }: { rows: number; heldOut: number }) =>
      `there are no rows left to train on (${rows} in all, ${heldOut} held out)`,
    remedy: () => 'hold fewer rows out, or give more data',
  },
  TRAIN_NO_TARGETS: {
    message: ({ step }: { step: number }) => `step ${step} has no target: the loss of its rows is not defined`,
    remedy: () => 'rows without a target must be left out of the data',
  },
  TRAIN_RESUME_DIFFERS: {
    message: ({ path, differences }: { path: string; differences: readonly string[] }) =>
      `'${path}' belongs to another run:\n  ${differences.join('\n  ')}`,
    remedy: () => 'give the options and data that the run began with, or train anew into another folder (no resume)',
  },
  TRAIN_UNFINISHED: {
    message: ({ folder, step, totalSteps }: { folder: string; step: number; totalSteps: number }) =>
      `'${folder}' holds an unfinished run (step ${step} of ${totalSteps})`,
    remedy: () => '--resume goes on with it, --force begins anew and deletes its checkpoints; or name another folder',
  },
  CHECKPOINT_CORRUPT: {
    message: ({ path, reason }: { path: string; reason: string }) => `the checkpoint '${path}' is damaged: ${reason}`,
    remedy: () => 'an earlier one is taken when there is one; delete the damaged folder',
  },
  CHECKPOINT_ALL_DAMAGED: {
    message: ({ folder, damaged }: { folder: string; damaged: readonly string[] }) =>
      `every checkpoint in '${folder}' is damaged:\n  ${damaged.join('\n  ')}`,
    remedy: () => 'train from the beginning into another folder, or with --force',
  },
});
