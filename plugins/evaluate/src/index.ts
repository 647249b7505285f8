import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { evaluateCommand } from './command.js';

export { type Bar, barChart } from './page/charts.js';
export { facts, page, table } from './page/html.js';
export type { AnswerRule, PluginTask } from './tasks/plugin-task.js';
export { scoreTasks, type TaskScore } from './tasks/run-tasks.js';

export default definePlugin({
  name: '@largeforge/evaluate',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.evaluator.add('exact-match', {
      describe: 'Share of rows that the model answers exactly as the reference',
      load: async () => (await import('./exact-match.js')).exactMatchRunner,
    });
    context.registries.evaluator.add('perplexity', {
      describe: 'Perplexity of a text: of its tokens, words and bytes',
      load: async () => (await import('./perplexity/runner.js')).perplexityRunner,
    });
    context.registries.evaluator.add('tasks', {
      describe:
        "Tasks in the shape of lm-evaluation-harness's task files: multiple choice, generated answers, likelihoods",
      load: async () => (await import('./tasks/runner.js')).tasksRunner,
    });
    context.registries.evaluator.add('compare', {
      describe: 'Results of two models on the same documents, with the significance of their differences; a gate',
      load: async () => (await import('./compare/runner.js')).compareRunner,
    });
    context.registries.evaluator.add('profile', {
      describe: 'Time to the first token, tokens per second and memory, under one load after the other',
      load: async () => (await import('./profile/runner.js')).profileRunner,
    });
    context.commands.add(evaluateCommand());
  },
});
