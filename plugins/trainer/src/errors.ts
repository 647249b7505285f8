import { defineErrors } from '@largeforge/core';

/** What can be wrong with a training, before its first step. */
export const trainerErrors = defineErrors({
  LF_TRAINER_NOT_DETERMINISTIC: {
    message: ({ device }: { device: string }) =>
      `deterministic: the backend of ${device} does not promise the same bits for the same seed`,
    remedy: () =>
      'train on the CPU backend, whose sums have a fixed order at any number of threads, or leave deterministic out',
  },
});
