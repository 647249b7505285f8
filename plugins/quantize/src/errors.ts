import { defineErrors } from '@largeforge/core';

/** What can go wrong while a model is quantised. */
export const quantizeErrors = defineErrors({
  LF_QUANTIZE_WEIGHT_NOT_FINITE: {
    message: (a: { layer: string; row: number; column: number }) =>
      `the weight of ${a.layer} has a value at row ${a.row}, column ${a.column} that is no finite number`,
    remedy: () => 'The model is damaged, or its training diverged: use an earlier checkpoint.',
  },
  LF_QUANTIZE_ACTIVATIONS: {
    message: (a: { layer: string }) => `the inputs of ${a.layer} on the calibration text are no finite numbers`,
    remedy: () => 'Try --dtype f32; if that fails too, the model itself computes no finite numbers.',
  },
  LF_QUANTIZE_UNSUPPORTED_MODEL: {
    message: (a: { what: string }) => `this model cannot be quantised here: ${a.what}`,
    remedy: () => 'Dense decoders whose layers are kept as [out, in] can be quantised.',
    exitCode: 2,
  },
  LF_QUANTIZE_GROUP_SIZE: {
    message: (a: { groupSize: number; layer: string; width: number }) =>
      `a group size of ${a.groupSize} does not divide the ${a.width} inputs of ${a.layer}`,
    remedy: () => 'Leave --group-size out: then it is the largest of 128, 64 and 32 that divides every width.',
    exitCode: 2,
  },
  LF_QUANTIZE_FORMAT: {
    message: (a: { reason: string }) => `these options cannot go together: ${a.reason}`,
    remedy: () => 'The README of @largeforge/quantize lists what each format can hold.',
    exitCode: 2,
  },
});
