import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { pruneCommand } from './command.js';

export default definePlugin({
  name: '@largeforge/prune',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.optimizer.add('prune', {
      describe: 'Makes weights 0: by magnitude, Wanda or SparseGPT, anywhere or N of every M',
      load: async () => (await import('./sparse/runner.js')).sparseRunner,
    });
    context.registries.optimizer.add('prune-structured', {
      describe: 'Takes heads, channels and layers out of a model by their importance',
      load: async () => (await import('./structured/runner.js')).structuredRunner,
    });
    context.commands.add(pruneCommand());
  },
});
