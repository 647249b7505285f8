import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeJson, writeTextFile } from '@largeforge/engine';
import type { TaskResult, TaskSample } from './evaluate-task.js';
import { higherIsBetter, type Score } from './metrics.js';

/** Results of all tasks, in the shape of lm-evaluation-harness's results file; `intervals95` is an addition to it. */
export function resultsDocument(results: readonly TaskResult[], run: { model: string; options: object; date: Date }) {
  const byTask = <T>(value: (result: TaskResult) => T) =>
    Object.fromEntries(results.map((result) => [result.task.config.task, value(result)]));
  const metricNames = (result: TaskResult) => [...new Set([...result.metrics.keys()].map((key) => key.split(',')[0]!))];
  return {
    results: byTask(({ task, metrics }) => ({
      alias: task.config.task_alias ?? task.config.task,
      ...Object.fromEntries(
        [...metrics].flatMap(([key, { value, standardError }]) => {
          const [metric, filter] = key.split(',');
          return [
            [key, value],
            [`${metric}_stderr,${filter}`, standardError],
          ];
        }),
      ),
    })),
    intervals95: byTask(({ metrics }) =>
      Object.fromEntries([...metrics].map(([key, value]) => [key, value.interval95])),
    ),
    group_subtasks: byTask(() => []),
    configs: byTask(({ task }) => task.config),
    versions: byTask(({ task }) => task.config.metadata?.version ?? 'N/A'),
    'n-shot': byTask(({ task }) => task.numFewshot),
    higher_is_better: byTask((result) =>
      Object.fromEntries(metricNames(result).map((metric) => [metric, higherIsBetter(metric)])),
    ),
    'n-samples': byTask(({ task, samples }) => ({
      original: task.size,
      effective: new Set(samples.map(({ item }) => item.index)).size,
    })),
    config: { model: 'largeforge', model_args: run.model, ...run.options },
    date: run.date.getTime() / 1000,
    model_name: run.model,
    seconds: byTask(({ seconds }) => seconds),
  };
}

export type ResultsDocument = ReturnType<typeof resultsDocument>;

/** Writes results.json, and samples_<task>.jsonl with what was asked and answered. Returns where the first lies. */
export function writeResults(folder: string, results: readonly TaskResult[], document: ResultsDocument): string {
  const file = join(folder, 'results.json');
  // Results of before would belong to other samples, if these should not all find room.
  rmSync(file, { force: true });
  for (const { task, samples } of results) {
    const lines = samples.map((sample) => `${JSON.stringify(sampleRow(sample))}\n`);
    writeTextFile(join(folder, `samples_${task.config.task}.jsonl`), lines.join(''));
  }
  writeJson(file, document);
  return file;
}

/** A sample as lm-evaluation-harness logs it. */
function sampleRow({ item, filter, scores, likelihoods, answer, filtered }: TaskSample): Record<string, unknown> {
  const { index, document, target, pairs, generation } = item;
  const responses = likelihoods?.map(({ logLikelihood, greedy }) => [[logLikelihood, greedy]]) ?? [[answer?.text]];
  return {
    doc_id: index,
    doc: document,
    target,
    arguments: pairs?.map(({ context, continuation }) => [context, continuation]) ?? [[generation!.prompt, generation]],
    resps: responses,
    filtered_resps: likelihoods ? responses.map(([response]) => response) : [filtered],
    filter,
    metrics: Object.keys(scores),
    ...Object.fromEntries(Object.entries(scores).map(([metric, score]) => [metric, scoreValue(score)])),
  };
}

function scoreValue(score: Score): number | readonly number[] {
  return typeof score === 'number' ? score : [score.logLikelihood, score.weight];
}

/** The rows of a table of results. */
export function resultRows(results: readonly TaskResult[]): (string | number)[][] {
  return results.flatMap(({ task, metrics, samples }) =>
    [...metrics].map(([key, { value, standardError, interval95 }]) => {
      const [metric, filter] = key.split(',') as [string, string];
      const count = samples.filter((sample) => sample.filter === filter).length;
      const digits = higherIsBetter(metric) ? 4 : 3;
      const interval = interval95.map((bound) => bound.toFixed(digits)).join('-');
      const { config, numFewshot } = task;
      return [
        config.task,
        filter,
        numFewshot,
        metric,
        value.toFixed(digits),
        standardError.toFixed(4),
        interval,
        count,
      ];
    }),
  );
}

export const resultColumns = ['task', 'filter', 'n-shot', 'metric', 'value', 'stderr', '95 % interval', 'documents'];
