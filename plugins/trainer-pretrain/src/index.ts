import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { trainPretrain } from './command.js';

export default definePlugin({
  name: '@largeforge/trainer-pretrain',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup({ registries: { trainer }, commands }) {
    trainer.add('pretrain', {
      describe: 'Continued pre-training on a mixture of domains',
      load: async () => (await import('./trainer.js')).pretrainRunner,
    });
    commands.add(trainPretrain);
  },
});
