import { defineErrors } from '@largeforge/core';

/** What can go wrong when adapters or models are merged. */
export const mergeErrors = defineErrors({
  LF_MERGE_OPTIONS: {
    message: (a: { reason: string }) => `these options cannot go together: ${a.reason}`,
    remedy: () => 'The README of @largeforge/merge-lora says what each method takes.',
    exitCode: 2,
  },
  LF_MERGE_ADAPTERS: {
    message: (a: { path: string; reason: string }) =>
      `the adapter ${a.path} cannot be combined with the others: ${a.reason}`,
    remedy: () => 'Merge it alone, or use the method cat or svd, which take adapters of any rank.',
    exitCode: 2,
  },
  LF_MERGE_MODELS: {
    message: (a: { first: string; second: string; reason: string }) =>
      `${a.second} cannot be merged with ${a.first}: ${a.reason}`,
    remedy: () => 'Merge models of one architecture and size, best those that were trained from one base.',
    exitCode: 2,
  },
  LF_MERGE_NOT_FINITE: {
    message: (a: { path: string; tensor: string }) => `${a.path} has values that are no finite numbers in ${a.tensor}`,
    remedy: () => 'It is damaged, or its training diverged: use an earlier checkpoint.',
  },
});
