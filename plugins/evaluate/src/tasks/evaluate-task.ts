import { evaluateErrors } from '../errors.js';
import type { Answer, EvaluatedModel, ModelRun, PairScore, ScoredPair } from '../models/evaluated-model.js';
import { type Aggregate, aggregate } from './aggregate.js';
import { type FilterChain, filterChains } from './filters.js';
import { answerScore, likelihoodScores, metricsOf, type Score } from './metrics.js';
import type { Task, TaskItem } from './task.js';
import type { MetricConfig } from './task-config.js';

/** What came of one document, under one filter. */
export interface TaskSample {
  readonly item: TaskItem;
  readonly filter: string;
  readonly scores: Readonly<Record<string, Score>>;
  readonly likelihoods?: readonly PairScore[];
  readonly answer?: Answer;
  /** The answer as the filter left it. */
  readonly filtered?: string;
}

export interface TaskResult {
  readonly task: Task;
  readonly samples: readonly TaskSample[];
  /** By "metric,filter", as lm-evaluation-harness names them. */
  readonly metrics: ReadonlyMap<string, Aggregate>;
  readonly seconds: number;
}

export interface TaskRun {
  readonly signal: AbortSignal;
  /** Called with the number of requests that are done, and of all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Asks a model everything that a task asks, and sums it up.
 * @throws LF_EVALUATE_NOT_FINITE when a likelihood is no number: damaged weights give no score
 */
export async function evaluateTask(task: Task, model: EvaluatedModel, taskRun: TaskRun): Promise<TaskResult> {
  const { config } = task;
  const start = performance.now();
  const setting = <T>(read: () => T): T => {
    try {
      return read();
    } catch (error) {
      throw evaluateErrors.LF_EVALUATE_TASK_FILE({ file: `the task ${config.task}`, reason: (error as Error).message });
    }
  };
  const metrics = setting(() => metricsOf(config, Object.keys(task.rules)));
  const filters = setting(() => filterChains(config));
  const items = task.items();
  const total = items.reduce((sum, { pairs }) => sum + (pairs?.length ?? 1), 0);
  const run: ModelRun = { signal: taskRun.signal, onProgress: (done) => taskRun.onProgress?.(done, total) };
  let samples: TaskSample[];
  if (config.output_type === 'generate_until') {
    const answers = await model.generate(
      items.map(({ generation }) => generation!),
      run,
    );
    const scoreOf = (filtered: string, item: TaskItem, metric: MetricConfig) =>
      task.rules[metric.metric]?.(filtered, item.document) ?? answerScore(filtered, item, metric);
    const score = (item: TaskItem, answer: Answer, { name, apply }: FilterChain): TaskSample => {
      const filtered = apply(answer.text);
      const scores = Object.fromEntries(metrics.map((each) => [each.metric, scoreOf(filtered, item, each)]));
      return { item, filter: name, scores, answer, filtered };
    };
    samples = filters.flatMap((filter) => items.map((item, i) => score(item, answers[i]!, filter)));
  } else {
    const likelihoods = await scorePairs(items, model, run, config.output_type === 'loglikelihood_rolling');
    const wanted = new Set(metrics.map(({ metric }) => metric));
    samples = items.map((item, i) => {
      const all = likelihoodScores(item, likelihoods[i]!, config.output_type);
      const scores = Object.fromEntries(Object.entries(all).filter(([metric]) => wanted.has(metric)));
      return { item, filter: 'none', scores, likelihoods: likelihoods[i]! };
    });
  }
  const results = new Map<string, Aggregate>();
  for (const { name } of filters) {
    const own = samples.filter(({ filter }) => filter === name);
    for (const { metric } of metrics) {
      results.set(
        `${metric},${name}`,
        aggregate(
          metric,
          own.map(({ scores }) => scores[metric]!),
        ),
      );
    }
  }
  return { task, samples, metrics: results, seconds: (performance.now() - start) / 1000 };
}

/** The scores of every item's pairs. */
async function scorePairs(
  items: readonly TaskItem[],
  model: EvaluatedModel,
  run: ModelRun,
  wholeTexts: boolean,
): Promise<PairScore[][]> {
  const pairs: ScoredPair[] = [];
  const ends = items.map((item) => pairs.push(...item.pairs!));
  const scores = wholeTexts
    ? (
        await model.textLogLikelihoods(
          pairs.map(({ continuation }) => continuation),
          run,
        )
      ).map((logLikelihood) => ({
        logLikelihood,
        greedy: false,
      }))
    : await model.logLikelihoods(pairs, run);
  const broken = scores.filter(({ logLikelihood }) => Number.isNaN(logLikelihood)).length;
  if (broken > 0) {
    throw evaluateErrors.LF_EVALUATE_NOT_FINITE({ model: model.name, count: broken, total: scores.length });
  }
  return items.map((_, i) => scores.slice(i === 0 ? 0 : ends[i - 1], ends[i]));
}
