import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Tracker } from '@largeforge/tracking';
import { EventFile } from './event-file.js';

/** The tracker `tensorboard`: a folder of events for each run, in a folder that `tensorboard --logdir` shows. */
export function tensorboardTracker(folder: string): Tracker {
  return {
    open({ id, config, startedAt }) {
      const own = join(folder, id);
      mkdirSync(own, { recursive: true });
      const seconds = Math.floor(startedAt.getTime() / 1000);
      const file = new EventFile(join(own, `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.0`), startedAt);
      file.text('config', `\`\`\`json\n${JSON.stringify(config, null, 2)}\n\`\`\``, startedAt);
      return {
        log(step, figures, time) {
          file.scalars(
            step,
            Object.entries(figures).map(([tag, value]) => ({ tag, value })),
            time,
          );
        },
        finish: () => file.close(),
      };
    },
  };
}
