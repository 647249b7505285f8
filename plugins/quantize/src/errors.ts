import { defineErrors } from '@largeforge/core';

/** What can go wrong while a model is quantised. */
export const quantizeErrors = defineErrors({
  LF_QUANTIZE_CALIBRATION_FILE: {
    message: (a: { file: string; reason: string }) => `the calibration text ${a.file} cannot be read: ${a.reason}`,
    remedy: () =>
      'Name a text file, or .jsonl with "text" or "messages" on each line; relative paths start at the folder of the config.',
    exitCode: 2,
  },
  LF_QUANTIZE_CALIBRATION_SHORT: {
    message: (a: { file: string; tokens: number; wanted: number; length: number }) =>
      `the calibration text ${a.file} has ${a.tokens} tokens, but ${a.wanted} windows of ${a.length} need ${a.wanted * a.length}`,
    remedy: (a) =>
      a.tokens >= a.length
        ? `Give a longer text, or ask for fewer windows: --samples ${Math.floor(a.tokens / a.length)}.`
        : `Give a longer text, or ask for shorter windows: --sequence-length ${Math.max(2, a.tokens)} --samples 1.`,
    exitCode: 2,
  },
  LF_QUANTIZE_SEQUENCE_LENGTH: {
    message: (a: { length: number; limit: number }) =>
      `windows of ${a.length} tokens are longer than the model's ${a.limit} positions`,
    remedy: (a) => `Use a --sequence-length of ${a.limit} or less.`,
    exitCode: 2,
  },
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
  LF_QUANTIZE_NO_TOKENIZER: {
    message: (a: { model: string }) => `${a.model} has no tokenizer, and the calibration text needs one`,
    remedy: () => 'Put tokenizer.json and tokenizer_config.json into the folder of the model.',
    exitCode: 2,
  },
  LF_QUANTIZE_SAME_FOLDER: {
    message: (a: { folder: string }) => `${a.folder} is the model that is read: writing there would destroy it`,
    remedy: () => 'Choose another --output-dir.',
    exitCode: 2,
  },
  LF_QUANTIZE_GATE: {
    message: (a: { failures: readonly string[]; report: string }) =>
      `the quantised model failed its gate: ${a.failures.join('; ')}. It was not kept; ${a.report} has the figures of every layer`,
    remedy: () =>
      'Use more bits, smaller groups or more calibration text; or, if the loss is acceptable, wider limits.',
    exitCode: 3,
  },
});
