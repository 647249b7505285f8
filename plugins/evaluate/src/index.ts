import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { evaluateCommand } from './command.js';

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
    context.commands.add(evaluateCommand());
  },
});
