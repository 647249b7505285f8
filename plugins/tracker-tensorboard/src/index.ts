import { join } from 'node:path';
import { definePlugin, resolveUserPath } from '@largeforge/core';
import { z } from 'zod';
import { tensorboardTracker } from './tracker.js';

export default definePlugin({
  name: '@largeforge/tracker-tensorboard',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({
    folder: z
      .string()
      .min(1)
      .optional()
      .describe('for tensorboard --logdir; tensorboard/ in the run folder unless given'),
  }),
  setup({ registries, config }, { folder }) {
    registries.tracker.add('tensorboard', {
      describe: 'Event files that TensorBoard reads',
      load: () => {
        const place = folder ?? join(String(config.get('runDir')), 'tensorboard');
        return tensorboardTracker(resolveUserPath(config.baseDir, place));
      },
    });
  },
});
