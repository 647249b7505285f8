import type { StepContext } from '@largeforge/core';
import { openEvaluatedModel } from '../models/open.js';
import { evaluateTask, type TaskResult } from './evaluate-task.js';
import { readTasks, type TasksOptions, tasksOptions } from './options.js';

type RunContext = Pick<StepContext, 'name' | 'backend' | 'resolvePath' | 'signal' | 'events' | 'kernel'>;

/** Loads a model and puts it through tasks, one after the other. */
export async function runTasks(
  context: RunContext,
  options: TasksOptions,
): Promise<{ results: TaskResult[]; model: string }> {
  const tasks = await readTasks(options, (path) => context.resolvePath(path), context.kernel.registries.task);
  await using model = await openEvaluatedModel(context, options);
  const results: TaskResult[] = [];
  for (const task of tasks) {
    const onProgress = (current: number, total: number) =>
      context.events.emit({
        type: 'progress',
        task: `${context.name}: ${task.config.task}`,
        current,
        total,
        unit: 'requests',
      });
    results.push(await evaluateTask(task, model, { signal: context.signal, onProgress }));
  }
  return { results, model: model.name };
}

/** The first metric of a task. */
export interface TaskScore {
  readonly task: string;
  readonly metric: string;
  readonly value: number;
  readonly interval95: readonly [low: number, high: number];
  readonly documents: number;
}

/** Scores of a model in tasks, for steps that judge a model by them. Options are those of the evaluator "tasks". */
export async function scoreTasks(
  context: RunContext,
  options: Partial<TasksOptions> & Pick<TasksOptions, 'model' | 'tasks'>,
): Promise<TaskScore[]> {
  const { results } = await runTasks(context, tasksOptions.parse(options));
  return results.map(({ task, metrics, samples }) => {
    const [key, { value, interval95 }] = [...metrics][0]!;
    const documents = new Set(samples.map(({ item }) => item.index)).size;
    return { task: task.config.task, metric: key.split(',')[0]!, value, interval95, documents };
  });
}
