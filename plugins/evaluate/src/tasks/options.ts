import { z } from 'zod';
import { computeOptions, evaluatedModel } from '../models/open.js';
import { readDocuments } from './documents.js';
import { Task } from './task.js';
import { builtInTasks, loadTask, type TaskRegistry } from './task-file.js';

const taskData = z.union([z.string().min(1), z.record(z.string(), z.string().min(1))]);

export const tasksOptions = z.strictObject({
  model: evaluatedModel,
  tasks: z
    .union([
      z
        .string()
        .min(1)
        .transform((name) => [name]),
      z.array(z.string().min(1)).min(1),
    ])
    .describe(`task files (.yaml), or built-in tasks: ${builtInTasks.join(', ')}`),
  data: z.record(z.string(), taskData).default({}).describe('data files by task: one file, or a file for each split'),
  numFewshot: z.int().min(0).optional().describe('worked examples in every prompt; as the task says unless given'),
  limit: z.int().positive().optional().describe('only the first documents of each task'),
  maxNewTokens: z.int().positive().optional().describe('tokens of a generated answer; as the task says unless given'),
  chat: z.boolean().default(false).describe("put prompts through the model's chat template"),
  ...computeOptions,
  failUnder: z
    .union([z.number(), z.record(z.string(), z.number())])
    .optional()
    .describe('share below which the step fails: of the first metric of every task, or by task'),
});

export type TasksOptions = z.output<typeof tasksOptions>;

/** Data files that options name. */
export function dataFiles({ data }: Pick<TasksOptions, 'data'>): string[] {
  return Object.values(data).flatMap((files) => (typeof files === 'string' ? [files] : Object.values(files)));
}

/** The tasks that options mean, with their documents. Throws what is wrong with a task file or its data. */
export async function readTasks(
  options: TasksOptions,
  resolvePath: (path: string) => string,
  registry: TaskRegistry,
): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const name of options.tasks) {
    const source = await loadTask(name, resolvePath, registry);
    const documents = readDocuments(source, options.data[source.config.task] ?? options.data[name], resolvePath);
    tasks.push(new Task(source.config, documents, options, source.brought?.metrics));
  }
  return tasks;
}
