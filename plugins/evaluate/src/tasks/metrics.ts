import type { PairScore } from '../models/evaluated-model.js';
import { pythonRegExp } from './filters.js';
import type { TaskItem } from './task.js';
import type { MetricConfig, TaskConfig } from './task-config.js';

/** A figure of one document; perplexities carry what their log-likelihood is divided by. */
export type Score = number | { readonly logLikelihood: number; readonly weight: number };

/** Metrics of a task, when its file names none. */
const DEFAULTS: Readonly<Record<TaskConfig['output_type'], readonly string[]>> = {
  multiple_choice: ['acc', 'acc_norm'],
  loglikelihood: ['perplexity', 'acc'],
  loglikelihood_rolling: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  generate_until: ['exact_match'],
};

const KNOWN: Readonly<Record<TaskConfig['output_type'], readonly string[]>> = {
  ...DEFAULTS,
  multiple_choice: ['acc', 'acc_norm', 'acc_bytes', 'exact_match'],
  generate_until: ['exact_match', 'f1', 'contains', 'matches'],
};

const PERPLEXITIES = new Set(['perplexity', 'word_perplexity', 'byte_perplexity', 'bits_per_byte']);

export const higherIsBetter = (metric: string): boolean => !PERPLEXITIES.has(metric);

/**
 * The metrics of a task. Throws when there is one that its kind of task does not have.
 * @param own names of the rules that the task brings
 */
export function metricsOf(config: TaskConfig, own: readonly string[] = []): MetricConfig[] {
  const names = [...KNOWN[config.output_type], ...(config.output_type === 'generate_until' ? own : [])];
  const plain = { ignore_case: false, ignore_punctuation: false, ignore_numbers: false, regexes_to_ignore: [] };
  const list: MetricConfig[] =
    config.metric_list ?? DEFAULTS[config.output_type].map((metric) => ({ metric, ...plain }));
  for (const { metric, aggregation = 'mean' } of list) {
    if (!names.includes(metric)) {
      throw new Error(`metric_list: ${config.output_type} has no metric "${metric}"; it has ${names.join(', ')}`);
    }
    if (aggregation !== 'mean' && !PERPLEXITIES.has(metric)) {
      throw new Error(`metric_list: ${metric} is aggregated by mean, not by ${aggregation}`);
    }
  }
  return list;
}

/** Scores of a document of a multiple-choice or log-likelihood task. */
export function likelihoodScores(
  { choices = [], target, pairs }: TaskItem,
  scores: readonly PairScore[],
  outputType: TaskConfig['output_type'],
): Record<string, Score> {
  const [first] = scores;
  if (outputType === 'loglikelihood') {
    return { acc: Number(first!.greedy), perplexity: { logLikelihood: first!.logLikelihood, weight: 1 } };
  }
  if (outputType === 'loglikelihood_rolling') {
    const text = pairs![0]!.continuation;
    const { logLikelihood } = first!;
    const bytes = { logLikelihood, weight: Buffer.byteLength(text, 'utf8') };
    return {
      word_perplexity: { logLikelihood, weight: text.split(/\s+/).length },
      byte_perplexity: bytes,
      bits_per_byte: bytes,
    };
  }
  const gold = [target].flat().map((each) => (typeof each === 'number' ? each : choices.indexOf(String(each))));
  const best = (divisor: (choice: string) => number) =>
    Number(gold.includes(argmax(scores.map(({ logLikelihood }, i) => logLikelihood / divisor(choices[i]!)))));
  return {
    acc: best(() => 1),
    // Length in code points, as Python counts it.
    acc_norm: best((choice) => [...choice].length),
    acc_bytes: best((choice) => Buffer.byteLength(choice, 'utf8')),
    exact_match: Number(gold.some((index) => scores[index]?.greedy === true)),
  };
}

/** Score of an answer against the right one, or the best against several. */
export function answerScore(answer: string, { target, choices }: TaskItem, metric: MetricConfig): number {
  const several = [target].flat();
  const texts = several.map((each) => (typeof each === 'number' && choices ? choices[each]! : String(each)));
  return Math.max(...texts.map((text) => compare(answer, text, metric)));
}

function compare(answer: string, reference: string, metric: MetricConfig): number {
  if (metric.metric === 'matches') return Number(pythonRegExp(reference).test(answer));
  const [ours, theirs] = [normalised(answer, metric), normalised(reference, metric)];
  if (metric.metric === 'contains') return Number(ours.includes(theirs));
  if (metric.metric === 'f1') return tokenF1(ours, theirs);
  return Number(ours === theirs);
}

const PUNCTUATION = /[!-/:-@[-`{-~]/g;

function normalised(text: string, options: MetricConfig): string {
  let value = text;
  for (const pattern of options.regexes_to_ignore) value = value.replace(pythonRegExp(pattern, 'g'), '');
  if (options.ignore_case) value = value.toLowerCase();
  if (options.ignore_punctuation) value = value.replace(PUNCTUATION, '');
  return options.ignore_numbers ? value.replace(/[0-9]/g, '') : value;
}

/** F1 of the words that two texts have in common, normalised as in the evaluation script of SQuAD 1.1. */
export function tokenF1(answer: string, reference: string): number {
  const words = (text: string) =>
    text
      .toLowerCase()
      .replace(PUNCTUATION, '')
      .replace(/\b(a|an|the)\b/g, ' ')
      .split(/\s+/)
      .filter((word) => word !== '');
  const [ours, theirs] = [words(answer), words(reference)];
  const left = new Map<string, number>();
  for (const word of theirs) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of ours) {
    const count = left.get(word) ?? 0;
    if (count > 0) common++;
    left.set(word, count - 1);
  }
  return common === 0 ? 0 : (2 * common) / (ours.length + theirs.length);
}

/** The first largest, as numpy has it. */
function argmax(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}
