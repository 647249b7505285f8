import { definePlugin } from '@largeforge/core';
import { z } from 'zod';

export default definePlugin({
  name: '@largeforge/quant-gptq',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.optimizer.add('gptq', {
      describe: 'Quantises weights by GPTQ: each column makes up for the errors of those before it',
      load: async () => (await import('./runner.js')).gptqRunner,
    });
  },
});
