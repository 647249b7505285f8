import { join } from 'node:path';
import { defineStepRunner } from '@largeforge/core';
import { writeTextFile } from '@largeforge/engine';
import { z } from 'zod';
import { evaluateErrors } from '../errors.js';
import {
  checkEvaluatedModel,
  computeOptions,
  evaluatedModel,
  modelInputs,
  openEvaluatedModel,
} from '../models/open.js';
import { resultsPage } from '../page/results-page.js';
import { readDocuments } from './documents.js';
import { evaluateTask, type TaskResult } from './evaluate-task.js';
import { higherIsBetter } from './metrics.js';
import { resultColumns, resultRows, resultsDocument, writeResults } from './results.js';
import { Task } from './task.js';
import { builtInTasks, loadTask } from './task-file.js';

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

/** Measures a model on tasks: multiple choice by log-likelihood, generated answers, likelihoods of texts. */
export const tasksRunner = defineStepRunner('evaluate', {
  options: tasksOptions,
  outputs: ['results', 'page', 'accuracy', 'scores'],
  inputs: ({ model, tasks, data }: TasksOptions) => ({
    paths: [
      ...modelInputs(model),
      ...tasks.filter((name) => !(builtInTasks as readonly string[]).includes(name)),
      ...dataFiles({ data }),
    ],
  }),
  async check(context, options: TasksOptions) {
    await checkEvaluatedModel(context, options.model);
    const files = [...options.tasks, ...dataFiles(options)];
    if (!files.some((file) => context.comesLater(file))) readTasks(options, (path) => context.resolvePath(path));
  },
  async run(context, options: TasksOptions) {
    const tasks = readTasks(options, (path) => context.resolvePath(path));
    await using model = await openEvaluatedModel(context, options);
    const results: TaskResult[] = [];
    for (const task of tasks) {
      const { config } = task;
      context.log.info({ task: config.task, documents: task.size }, `evaluating ${config.task}`);
      const onProgress = (current: number, total: number) =>
        context.events.emit({
          type: 'progress',
          task: `${context.name}: ${config.task}`,
          current,
          total,
          unit: 'requests',
        });
      results.push(await evaluateTask(task, model, { signal: context.signal, onProgress }));
    }
    const { model: _, ...rest } = options;
    const date = new Date();
    const document = resultsDocument(results, { model: model.name, options: rest, date });
    const file = writeResults(context.outputDir, results, document);
    const page = join(context.outputDir, 'results.html');
    writeTextFile(page, resultsPage(results, model.name, date));
    context.events.emit({ type: 'table', task: context.name, columns: resultColumns, rows: resultRows(results) });
    checkThresholds(results, options.failUnder);
    const first = [...results[0]!.metrics.values()][0]!.value;
    return { results: file, page, accuracy: first, scores: scoresByTask(results) };
  },
});

function dataFiles({ data }: Pick<TasksOptions, 'data'>): string[] {
  return Object.values(data).flatMap((files) => (typeof files === 'string' ? [files] : Object.values(files)));
}

function readTasks(options: TasksOptions, resolvePath: (path: string) => string): Task[] {
  return options.tasks.map((name) => {
    const source = loadTask(name, resolvePath);
    const documents = readDocuments(source, options.data[source.config.task] ?? options.data[name], resolvePath);
    return new Task(source.config, documents, options);
  });
}

function scoresByTask(results: readonly TaskResult[]): Record<string, Record<string, number>> {
  return Object.fromEntries(
    results.map(({ task, metrics }) => [
      task.config.task,
      Object.fromEntries([...metrics].map(([key, { value }]) => [key, value])),
    ]),
  );
}

function checkThresholds(results: readonly TaskResult[], failUnder: TasksOptions['failUnder']): void {
  if (failUnder === undefined) return;
  for (const { task, metrics } of results) {
    const [key, { value }] = [...metrics][0]!;
    const name = task.config.task;
    const threshold = typeof failUnder === 'number' ? failUnder : failUnder[name];
    if (threshold === undefined || !higherIsBetter(key.split(',')[0]!)) continue;
    if (value < threshold) {
      throw evaluateErrors.LF_EVALUATE_BELOW({ metric: `${name} ${key}`, value, failUnder: threshold });
    }
  }
}
