import { definePlugin } from '@largeforge/core';
import { z } from 'zod';

export default definePlugin({
  name: '@largeforge/search',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup({ registries }) {
    registries.trainer.add('search', {
      describe: 'Hyper-parameter search over the options of another trainer',
      load: async () => (await import('./search.js')).searchRunner,
    });
  },
});
