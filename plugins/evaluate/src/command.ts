import {
  type CommandContext,
  type CommandDefinition,
  collect,
  integerBetween,
  numberBetween,
  type StepRequest,
} from '@largeforge/core';
import { evaluateErrors } from './errors.js';
import { builtInTasks } from './tasks/task-file.js';

const count = integerBetween(1, 1e9);

/** Flags that one kind of benchmark alone understands, by their keys. */
const perplexityFlags = ['window', 'stride', 'maxWindows', 'bos', 'failOver', 'weights'];
const taskFlags = ['numFewshot', 'limit', 'chat', 'failUnder'];

/** `largeforge evaluate`: one benchmark on one model, as a pipeline of one step. */
export function evaluateCommand(): CommandDefinition<CommandContext> {
  return {
    name: 'evaluate',
    summary: 'measure a model; the last line is the figure',
    description:
      `The benchmark is perplexity, one of ${builtInTasks.join(', ')}, or a task file in the shape of ` +
      "lm-evaluation-harness's. The figure is the perplexity, or the first metric of the task.",
    examples: [
      'largeforge evaluate --model ./model --benchmark perplexity --dataset ./wikitext-2/test.txt',
      'largeforge evaluate --model ./model --benchmark arc_easy --dataset ./arc_easy.jsonl --limit 100',
      'largeforge evaluate --model ./model --benchmark gsm8k --dataset train=./train.jsonl --dataset test=./test.jsonl',
    ],
    options: [
      { flags: '-m, --model <model>', description: 'folder, .gguf file, adapter or cached name', required: true },
      { flags: '--server <url>', description: "ask a server of OpenAI's API; --model is its name for the model" },
      { flags: '--benchmark <name>', description: 'what to measure', required: true },
      {
        flags: '--dataset <file>',
        description: 'a text file or .jsonl rows; split=file, once a split, for tasks with several',
        parse: collect,
      },
      { flags: '--dtype <precision>', description: 'to compute in', choices: ['f32', 'bf16'], default: 'bf16' },
      { flags: '--window <tokens>', description: 'perplexity: tokens of a window', parse: count },
      { flags: '--stride <tokens>', description: 'perplexity: from window to window (no overlap)', parse: count },
      { flags: '--max-windows <count>', description: 'perplexity: only the first windows', parse: count },
      {
        flags: '--weights <kind>',
        description: 'perplexity: as-stored multiplies quantised weights in their own bits by inputs of 8',
        choices: ['float', 'as-stored'],
      },
      { flags: '--bos', description: "perplexity: put the tokenizer's BOS token before every window" },
      {
        flags: '--fail-over <perplexity>',
        description: 'perplexity: exit with 3 above it',
        parse: numberBetween(0, 1e9),
      },
      {
        flags: '--num-fewshot <count>',
        description: 'tasks: worked examples in every prompt',
        parse: integerBetween(0, 1000),
      },
      { flags: '--limit <count>', description: 'tasks: only the first documents', parse: count },
      { flags: '--chat', description: "tasks: put prompts through the model's chat template" },
      { flags: '--fail-under <share>', description: 'tasks: exit with 3 below it', parse: numberBetween(0, 1) },
    ],
    async run({ options }, { runSteps, events }) {
      const step = stepOf(options);
      const { outputs } = await runSteps([step]);
      const { perplexity, accuracy } = outputs.get(step.name) as Record<string, number>;
      const figure = perplexity ?? accuracy!;
      events.emit({ type: 'message', level: 'info', text: figure.toFixed(4) });
    },
  };
}

/** The step that a command line means. Throws on flags that its benchmark does not have. */
export function stepOf(options: Readonly<Record<string, unknown>>): StepRequest {
  const { server, dtype, benchmark, dataset } = options;
  const model = server === undefined ? options.model : { url: server, model: options.model };
  const files = (dataset as readonly string[] | undefined) ?? [];
  const isPerplexity = benchmark === 'perplexity';
  const others = isPerplexity ? taskFlags : perplexityFlags;
  const wrong = others.find((key) => options[key] !== undefined);
  if (wrong !== undefined) throw flagError(`--${dashed(wrong)} is not for the benchmark ${benchmark}`);
  const own = isPerplexity ? perplexityFlags : taskFlags;
  const given = own.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]);
  const common = { model, dtype, ...Object.fromEntries(given) };
  if (isPerplexity) {
    if (server !== undefined) throw flagError('the benchmark perplexity needs the model itself, not a server');
    if (files.length !== 1) throw flagError('the benchmark perplexity takes one --dataset, a text or .jsonl file');
    return { name: 'perplexity', stage: 'evaluate', use: 'perplexity', with: { ...common, dataset: files[0] } };
  }
  const data = files.length === 0 ? {} : { data: { [String(benchmark)]: dataOf(files) } };
  return { name: 'evaluate', stage: 'evaluate', use: 'tasks', with: { ...common, tasks: [benchmark], ...data } };
}

function dataOf(files: readonly string[]): string | Record<string, string> {
  const pairs = files.map((file) => /^(\w+)=(.+)$/.exec(file)?.slice(1) as [string, string] | undefined);
  if (files.length === 1 && pairs[0] === undefined) return files[0]!;
  if (pairs.includes(undefined)) throw flagError('with several --dataset, each is split=file');
  return Object.fromEntries(pairs as [string, string][]);
}

const flagError = (reason: string) => evaluateErrors.LF_EVALUATE_FLAGS({ reason });
const dashed = (key: string) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
