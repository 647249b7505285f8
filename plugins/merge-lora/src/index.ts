import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { mergeCommand } from './command.js';

export default definePlugin({
  name: '@largeforge/merge-lora',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.optimizer.add('merge-lora', {
      describe: 'Adds a LoRA adapter, or several combined, to the weights of their base model',
      load: async () => (await import('./adapters/runner.js')).mergeRunner,
    });
    context.registries.optimizer.add('merge-models', {
      describe: 'Makes one model of several: linear, slerp, task arithmetic, TIES, DARE',
      load: async () => (await import('./models/runner.js')).mergeModelsRunner,
    });
    context.commands.add(mergeCommand());
  },
});
