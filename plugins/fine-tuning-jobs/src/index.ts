import { definePlugin } from '@largeforge/core';
import { jobsOptions } from './options.js';

const name = '@largeforge/fine-tuning-jobs';

export default definePlugin({
  name,
  version: '0.1.0',
  apiVersion: 1,
  options: jobsOptions,
  setup(context, options) {
    if (Object.keys(options.models).length === 0) return;
    context.hooks.serve.configure.tap(async ({ instance }) => {
      const { mountJobs } = await import('./mount.js');
      await mountJobs(instance, context, options, name);
    });
  },
});
