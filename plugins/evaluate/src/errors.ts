import { defineErrors } from '@largeforge/core';

/** What can go wrong in an evaluation. */
export const evaluateErrors = defineErrors({
  LF_EVALUATE_FILE: {
    message: (a: { file: string; reason: string }) => `${a.file} cannot be read: ${a.reason}`,
    remedy: () =>
      'Name a file that exists; relative paths start at the folder of the config, or where a command is given.',
    exitCode: 2,
  },
  LF_EVALUATE_FLAGS: {
    message: (a: { reason: string }) => a.reason,
    remedy: () => '"largeforge evaluate --help" says which flags a benchmark has.',
    exitCode: 2,
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
      `${a.model} gives no finite probability to ${a.count} of ${a.total} texts`,
    remedy: () => 'The weights are damaged or overflow: try dtype f32, and look for NaN in the weights.',
  },
  LF_EVALUATE_ABOVE: {
    message: (a: { perplexity: number; failOver: number }) =>
      `perplexity ${a.perplexity.toFixed(3)} is above the ${a.failOver} that failOver allows`,
    remedy: () => 'The model is worse than required: train or quantise it with more care, or raise failOver.',
    exitCode: 3,
  },
  LF_EVALUATE_TASK_UNKNOWN: {
    message: (a: { name: string; known: readonly string[]; guess: string }) =>
      `there is no task "${a.name}", and no file of that name${a.guess}`,
    remedy: (a) => `Name a task file (.yaml), or one of ${a.known.join(', ')}.`,
  },
  LF_EVALUATE_TASK_FILE: {
    message: (a: { file: string; reason: string }) => `${a.file}: ${a.reason}`,
    remedy: () =>
      'Task files have the shape of lm-evaluation-harness; the README of @largeforge/evaluate lists the keys.',
  },
  LF_EVALUATE_TASK_FUNCTION: {
    message: (a: { file: string; key: string; name: string }) =>
      `${a.file}: ${a.key} is the Python function ${a.name}, which cannot run here`,
    remedy: () =>
      'Write it as a Jinja template; tasks/winogrande.yaml of @largeforge/evaluate shows one in place of functions.',
  },
  LF_EVALUATE_TASK_DATA: {
    message: (a: { task: string; file: string; splits: readonly string[]; given: readonly string[] }) =>
      `no data file is named for the task ${a.task} (it evaluates ${a.splits.join(', else ') || 'no split at all'}; ` +
      `named: ${a.given.join(', ') || 'none'})`,
    remedy: (a) =>
      `Name a .jsonl file in the options, data: {${a.task}: file} or data: {${a.task}: {${a.splits[0] ?? 'test'}: file}}; ` +
      'or in the task file, dataset_path: json with dataset_kwargs.data_files.',
  },
  LF_EVALUATE_DOCUMENT: {
    message: (a: { file: string; line: number; reason: string }) => `${a.file}:${a.line}: ${a.reason}`,
    remedy: () => 'Data files have one JSON object a line (.jsonl), or are a list of objects (.json).',
  },
  LF_EVALUATE_TEMPLATE: {
    message: (a: { task: string; key: string; document: number; reason: string }) =>
      `${a.key} of the task ${a.task} fails on document ${a.document}: ${a.reason}`,
    remedy: () => 'Compare the fields that the template uses with those of the data file.',
  },
  LF_EVALUATE_SHOTS: {
    message: (a: { task: string; wanted: number; found: number }) =>
      `the task ${a.task} asks for ${a.wanted} worked examples, and there are ${a.found}`,
    remedy: () =>
      'Name a data file for the split that they come from (fewshot_split, else training_split), or ask for fewer.',
  },
  LF_EVALUATE_EMPTY_CONTINUATION: {
    message: (a: { continuation: string }) =>
      `the continuation ${JSON.stringify(a.continuation)} adds no token to its context: it has no likelihood`,
    remedy: () => 'Choices must be texts that are not empty: look at doc_to_choice and doc_to_target.',
  },
  LF_EVALUATE_BELOW: {
    message: (a: { metric: string; value: number; failUnder: number }) =>
      `${a.metric} is ${(100 * a.value).toFixed(1)} %, below the ${(100 * a.failUnder).toFixed(1)} % that failUnder asks for`,
    remedy: () => 'Train longer or on more data, or lower failUnder.',
    exitCode: 3,
  },
  LF_EVALUATE_RESULTS: {
    message: (a: { file: string; reason: string }) => `${a.file}: ${a.reason}`,
    remedy: () =>
      'Name the results.json that an evaluation step gives out as "results", in the folder that it was written to.',
    exitCode: 2,
  },
  LF_EVALUATE_NOTHING_SHARED: {
    message: (a: { baseline: string; candidate: string }) =>
      `${a.baseline} and ${a.candidate} have no figure of the same documents`,
    remedy: () => 'Evaluate both models with the same step: the same tasks, data and limits.',
    exitCode: 2,
  },
  LF_EVALUATE_REGRESSION: {
    message: (a: { figures: readonly string[] }) => `the candidate is worse: ${a.figures.join('; ')}`,
    remedy: () => 'Keep the baseline, or change what was trained or quantised; comparison.json has all figures.',
    exitCode: 3,
  },
  LF_EVALUATE_SERVER: {
    message: (a: { address: string; reason: string }) => `${a.address} does not answer: ${a.reason}`,
    remedy: () => 'Look whether the server runs, and whether url (with /v1), model and apiKey are right.',
  },
  LF_EVALUATE_SERVER_SCORES: {
    message: (a: { url: string }) =>
      `${a.url} gives no log-probabilities of a prompt (echo with logprobs, without chat)`,
    remedy: () =>
      'Tasks with log-likelihoods need a server that has them, or the model itself; generated answers need neither.',
  },
});
