import { join } from 'node:path';
import { definePlugin, resolveUserPath } from '@largeforge/core';
import { z } from 'zod';
import { jsonlTracker } from './jsonl/tracker.js';
import { recordTrainings } from './recording/record-trainings.js';
import { runsCommands } from './runs/commands.js';
import type { Tracker } from './tracker.js';

export type { Figures, RunEnd, RunRecorder, TrackedRun, Tracker } from './tracker.js';

export default definePlugin({
  name: '@largeforge/tracking',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({
    use: z
      .array(z.string().min(1))
      .default(['jsonl'])
      .describe('trackers that record every training: jsonl, and those of plugins (wandb, tensorboard, mlflow)'),
  }),
  setup(context, { use }) {
    const { registries, config, hooks } = context;
    const folder = () => join(resolveUserPath(config.baseDir, String(config.get('runDir'))), 'runs');
    registries.tracker.add('jsonl', {
      describe: 'Files that `largeforge runs` reads',
      load: () => jsonlTracker(folder()),
    });
    const trackers = new Map<string, () => Promise<Tracker>>();
    for (const [i, name] of use.entries()) {
      trackers.set(name, () => registries.tracker.get(name, `plugin tracking: use[${i}]`));
    }
    // A name that nobody registered is told before anything is trained, not after.
    hooks.kernel.ready.tap(async () => {
      for (const open of trackers.values()) await open();
    });
    recordTrainings(context, trackers);
    for (const command of runsCommands) context.commands.add(command);
  },
});
