import { defineErrors } from '@largeforge/core';

/** What can go wrong while a model is pruned. */
export const pruneErrors = defineErrors({
  LF_PRUNE_OPTIONS: {
    message: (a: { reason: string }) => `these options cannot go together: ${a.reason}`,
    remedy: () => 'The README of @largeforge/prune says what each method takes.',
    exitCode: 2,
  },
  LF_PRUNE_PATTERN: {
    message: (a: { pattern: string; layer: string; width: number }) =>
      `the pattern ${a.pattern} does not divide the ${a.width} inputs of ${a.layer}`,
    remedy: () => 'Choose a pattern whose second number divides every width, or prune without one.',
    exitCode: 2,
  },
  LF_PRUNE_UNSUPPORTED_MODEL: {
    message: (a: { what: string }) => `this model cannot be pruned so: ${a.what}`,
    remedy: () =>
      'Heads and channels can be taken from decoders with separate projections (Llama, Mistral, Qwen, Gemma).',
    exitCode: 2,
  },
  LF_PRUNE_TOO_MUCH: {
    message: (a: { what: string; total: number; sparsity: number }) =>
      `a sparsity of ${a.sparsity} leaves none of the ${a.total} ${a.what}, or takes none of them`,
    remedy: (a) => `Choose a sparsity between ${(1 / a.total).toFixed(3)} and ${(1 - 1 / a.total).toFixed(3)}.`,
    exitCode: 2,
  },
  LF_PRUNE_ACTIVATIONS: {
    message: (a: { layer: string }) => `the inputs of ${a.layer} on the calibration text are no finite numbers`,
    remedy: () => 'Try --dtype f32; if that fails too, the model itself computes no finite numbers.',
  },
});
