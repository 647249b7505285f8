import { defineEngineErrors } from '../errors.js';

/** What can go wrong in training. */
export const trainingErrors = defineEngineErrors({
  TRAIN_DIVERGED: {
    message: ({ step, what, loss, gradNorm }: { step: number; what: string; loss: number; gradNorm: number }) =>
      `the ${what} is not finite at step ${step} (loss ${loss}, gradient norm ${gradNorm})`,
    remedy: () =>
      'lower the learning rate or lengthen the warm-up, look at the rows of this step, or train in f32; --resume goes ' +
      'on from the last checkpoint, which is from before this step',
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
