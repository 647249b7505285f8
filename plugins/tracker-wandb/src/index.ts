import { definePlugin, resolveUserPath } from '@largeforge/core';
import { z } from 'zod';
import { wandbTracker } from './tracker.js';

export default definePlugin({
  name: '@largeforge/tracker-wandb',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({
    project: z.string().min(1).default('largeforge'),
    entity: z.string().default('').describe('user or team; unless given, the default of whoever uploads'),
    group: z.string().default('').describe('runs that belong together'),
    tags: z.array(z.string().min(1)).default([]),
    folder: z.string().min(1).default('.').describe('where the folder wandb/ is made'),
  }),
  setup({ registries, config }, { folder, ...settings }) {
    registries.tracker.add('wandb', {
      describe: 'Runs of Weights & Biases, uploaded by `wandb sync`',
      load: () => wandbTracker(resolveUserPath(config.baseDir, folder), settings),
    });
  },
});
