import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Figures, Tracker } from '@largeforge/tracking';
import { exitRecord, headerRecord, historyRecord, runRecord, summaryRecord } from './records.js';
import { TransactionLog } from './transaction-log.js';

export interface WandbSettings {
  readonly project: string;
  /** A user or a team; empty for the default of whoever uploads. */
  readonly entity: string;
  readonly group: string;
  readonly tags: readonly string[];
}

/**
 * The tracker `wandb`: a folder `wandb/offline-run-<time>-<id>` as the official client makes it without a network, to be
 * uploaded by `wandb sync`. A run that was killed uploads too, as a failed one.
 * @param folder in which `wandb/` is made
 */
export function wandbTracker(folder: string, settings: WandbSettings): Tracker {
  return {
    open(run) {
      const id = randomBytes(4).toString('hex');
      const stamp = run.startedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '_');
      const own = join(folder, 'wandb', `offline-run-${stamp}-${id}`);
      mkdirSync(join(own, 'files'), { recursive: true });
      const log = new TransactionLog(join(own, `run-${id}.wandb`));
      let records = 0;
      let row: { step: number; values: Record<string, unknown> } | undefined;
      const last: Record<string, number> = {};
      log.append(headerRecord());
      const { name, use, config, startedAt } = run;
      const described = { ...settings, id, name: run.id, host: hostname(), startedAt };
      log.append(runRecord(++records, { ...described, config: { ...config, step: name, trainer: use } }));

      // A step has one row: what is measured at the end of a step joins the figures of the step itself.
      const flush = () => {
        if (row) log.append(historyRecord(++records, row.step, { ...row.values, _step: row.step }));
        row = undefined;
      };
      return {
        log(step, figures: Figures, time) {
          if (row?.step !== step) flush();
          const _timestamp = time.getTime() / 1000;
          const _runtime = (time.getTime() - startedAt.getTime()) / 1000;
          row = { step, values: { ...row?.values, ...figures, _timestamp, _runtime } };
          Object.assign(last, figures);
        },
        finish({ status, endedAt, outputs }) {
          flush();
          log.append(summaryRecord(++records, { ...last, ...figuresAmong(outputs) }));
          const seconds = Math.round((endedAt.getTime() - startedAt.getTime()) / 1000);
          log.append(exitRecord(++records, status === 'finished' ? 0 : status === 'interrupted' ? 255 : 1, seconds));
          log.close();
        },
      };
    },
  };
}

function figuresAmong(outputs: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(outputs).filter(([, value]) => typeof value === 'number'));
}
