import { definePlugin } from '@largeforge/core';
import { z } from 'zod';

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
  },
});
