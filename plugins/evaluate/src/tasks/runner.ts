import { join } from 'node:path';
import { defineStepRunner } from '@largeforge/core';
import { writeTextFile } from '@largeforge/engine';
import { evaluateErrors } from '../errors.js';
import { checkEvaluatedModel, modelInputs } from '../models/open.js';
import { resultsPage } from '../page/results-page.js';
import type { TaskResult } from './evaluate-task.js';
import { higherIsBetter } from './metrics.js';
import { dataFiles, readTasks, type TasksOptions, tasksOptions } from './options.js';
import { resultColumns, resultRows, resultsDocument, writeResults } from './results.js';
import { runTasks } from './run-tasks.js';
import { builtInTasks } from './task-file.js';

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
    if (files.some((file) => context.comesLater(file))) return;
    await readTasks(options, (path) => context.resolvePath(path), context.kernel.registries.task);
  },
  async run(context, options: TasksOptions) {
    const { results, model } = await runTasks(context, options);
    const { model: _, ...rest } = options;
    const date = new Date();
    const document = resultsDocument(results, { model, options: rest, date });
    const file = writeResults(context.outputDir, results, document);
    const page = join(context.outputDir, 'results.html');
    writeTextFile(page, resultsPage(results, model, date));
    context.events.emit({ type: 'table', task: context.name, columns: resultColumns, rows: resultRows(results) });
    checkThresholds(results, options.failUnder);
    const first = [...results[0]!.metrics.values()][0]!.value;
    return { results: file, page, accuracy: first, scores: scoresByTask(results) };
  },
});

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
