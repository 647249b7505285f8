import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { trainDistill } from './commands.js';

export default definePlugin({
  name: '@largeforge/trainer-distill',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup({ registries: { trainer }, commands }) {
    trainer.add('distill', {
      describe: 'Distillation: a student learns what its teacher would say',
      load: async () => (await import('./trainer.js')).distillRunner,
    });
    commands.add(trainDistill);
  },
});
