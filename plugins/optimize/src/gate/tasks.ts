import type { StepContext } from '@largeforge/core';
import { scoreTasks } from '@largeforge/evaluate';
import type { GateOptions } from './options.js';

/** The first metric of a task, of the original and of the changed model. */
export interface TaskComparison {
  readonly task: string;
  readonly metric: string;
  readonly documents: number;
  readonly before: number;
  readonly after: number;
}

export type TaskScores = Awaited<ReturnType<typeof scoreTasks>>;

/** Scores of a model in the tasks of a gate; none without tasks. The model is loaded for it and let go. */
export async function gateScores(
  context: Pick<StepContext, 'name' | 'backend' | 'resolvePath' | 'signal' | 'events' | 'kernel'>,
  model: string,
  { tasks }: GateOptions,
  dtype: 'f32' | 'bf16',
): Promise<TaskScores> {
  if (!tasks) return [];
  const { names, data, limit, chat } = tasks;
  return scoreTasks(context, { model, tasks: names, data, dtype, chat, ...(limit !== undefined && { limit }) });
}

/** Scores before and after, task by task. */
export function compareScores(before: TaskScores, after: TaskScores): TaskComparison[] {
  return before.map(({ task, metric, documents, value }, i) => ({
    task,
    metric,
    documents,
    before: value,
    after: after[i]!.value,
  }));
}
