import { defineErrors } from '@largeforge/core';

/** What can go wrong in an evaluation. */
export const evaluateErrors = defineErrors({
  LF_EVALUATE_FILE: {
    message: (a: { file: string; reason: string }) => `${a.file} cannot be read: ${a.reason}`,
    remedy: () =>
      'Name a file that exists; relative paths start at the folder of the config, or where a command is given.',
  },
  LF_EVALUATE_TEXT_ROW: {
    message: (a: { file: string; line: number; reason: string }) => `${a.file}:${a.line}: ${a.reason}`,
    remedy: () =>
      'Each line of a .jsonl file is {"text": "a document"}; a text as it stands is a file of another name.',
  },
  LF_EVALUATE_TEXT_SHORT: {
    message: (a: { file: string; tokens: number }) => `${a.file} has ${a.tokens} tokens: nothing can be scored`,
    remedy: () => 'Give a longer text; some ten thousand tokens make a stable figure.',
  },
  LF_EVALUATE_WINDOW: {
    message: (a: { name: string; value: number; limit: number; of: string }) =>
      `${a.name} ${a.value} is more than the ${a.limit} of ${a.of}`,
    remedy: () => 'Make it smaller, or leave it out.',
  },
  LF_EVALUATE_NO_BOS: {
    message: (a: { model: string }) => `the tokenizer of ${a.model} has no BOS token`,
    remedy: () => "Leave 'bos' out, as the model was most likely trained without one.",
  },
  LF_EVALUATE_NOT_FINITE: {
    message: (a: { model: string; count: number; total: number }) =>
      `${a.model} gives no finite probability to ${a.count} of ${a.total} windows`,
    remedy: () => 'The weights are damaged or overflow: try dtype f32, and look for NaN in the weights.',
  },
  LF_EVALUATE_ABOVE: {
    message: (a: { perplexity: number; failOver: number }) =>
      `perplexity ${a.perplexity.toFixed(3)} is above the ${a.failOver} that failOver allows`,
    remedy: () => 'The model is worse than required: train or quantise it with more care, or raise failOver.',
    exitCode: 3,
  },
});
