import { defineErrors } from '@largeforge/core';

/** What can go wrong wherever a model is made smaller or put together. */
export const optimizeErrors = defineErrors({
  LF_OPTIMIZE_CALIBRATION_FILE: {
    message: (a: { file: string; reason: string }) => `the calibration text ${a.file} cannot be read: ${a.reason}`,
    remedy: () =>
      'Name a text file, or .jsonl with "text" or "messages" on each line; relative paths start at the folder of the config.',
    exitCode: 2,
  },
  LF_OPTIMIZE_CALIBRATION_SHORT: {
    message: (a: { file: string; tokens: number; wanted: number; length: number }) =>
      `the calibration text ${a.file} has ${a.tokens} tokens, but ${a.wanted} windows of ${a.length} need ${a.wanted * a.length}`,
    remedy: (a) =>
      a.tokens >= a.length
        ? `Give a longer text, or ask for fewer windows: --samples ${Math.floor(a.tokens / a.length)}.`
        : `Give a longer text, or ask for shorter windows: --sequence-length ${Math.max(2, a.tokens)} --samples 1.`,
    exitCode: 2,
  },
  LF_OPTIMIZE_SEQUENCE_LENGTH: {
    message: (a: { length: number; limit: number }) =>
      `windows of ${a.length} tokens are longer than the model's ${a.limit} positions`,
    remedy: (a) => `Use a --sequence-length of ${a.limit} or less.`,
    exitCode: 2,
  },
  LF_OPTIMIZE_NO_TOKENIZER: {
    message: (a: { model: string }) => `${a.model} has no tokenizer, and a text needs one`,
    remedy: () => 'Put tokenizer.json and tokenizer_config.json into the folder of the model.',
    exitCode: 2,
  },
  LF_OPTIMIZE_SAME_FOLDER: {
    message: (a: { folder: string }) => `${a.folder} is the model that is read: writing there would destroy it`,
    remedy: () => 'Choose another --output-dir.',
    exitCode: 2,
  },
  LF_OPTIMIZE_NOTHING_COMPARED: {
    message: () =>
      'the gate has limits, but the calibration text has no windows left to compare on, and gate.dataset is not given',
    remedy: () => 'Name a text in gate.dataset (--gate-dataset), or calibrate on fewer windows.',
    exitCode: 2,
  },
  LF_OPTIMIZE_GATE: {
    message: (a: { action: string; failures: readonly string[]; worst: readonly string[]; report: string }) =>
      `the ${a.action} model failed its gate: ${a.failures.join('; ')}. It was not kept; ` +
      `${a.worst.length > 0 ? `most was lost in ${a.worst.join(', ')}; ` : ''}${a.report} has the figures of every layer`,
    remedy: () =>
      'Ask for less (more bits, smaller groups, less sparsity), give more calibration text; or, if the loss is acceptable, wider limits.',
    exitCode: 3,
  },
});
