import { definePlugin } from '@largeforge/core';
import { z } from 'zod';

export default definePlugin({
  name: '@largeforge/quant-awq',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.optimizer.add('awq', {
      describe: 'Quantises weights by AWQ: channels that matter are scaled up before they are rounded',
      load: async () => (await import('./runner.js')).awqRunner,
    });
  },
});
