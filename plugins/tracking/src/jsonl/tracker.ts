import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { writeJson } from '@largeforge/engine';
import type { RunEnd, TrackedRun, Tracker } from '../tracker.js';

export const runFile = 'run.json';
export const figuresFile = 'metrics.jsonl';

/** What `run.json` says of a run. A run that is `running` and whose process is gone was killed. */
export interface RunRecord {
  readonly version: 1;
  readonly id: string;
  readonly name: string;
  readonly use: string;
  readonly status: 'running' | RunEnd['status'];
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly resumed: boolean;
  readonly process: number;
  readonly config: Readonly<Record<string, unknown>>;
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly error?: string;
}

/** The tracker `jsonl`: a folder for each run with `run.json` and `metrics.jsonl`, which `largeforge runs` reads. */
export function jsonlTracker(folder: string): Tracker {
  return {
    open(run) {
      const own = join(folder, run.id);
      mkdirSync(own, { recursive: true });
      const record = recordOf(run);
      writeJson(join(own, runFile), record);
      const file = openSync(join(own, figuresFile), 'a');
      return {
        log(step, figures, time) {
          // A line is written whole, so that whoever reads while it trains finds whole lines.
          writeSync(file, `${JSON.stringify({ step, time: time.toISOString(), ...figures })}\n`);
        },
        finish({ status, endedAt, outputs, error }) {
          closeSync(file);
          const end = { status, endedAt: endedAt.toISOString(), outputs, ...(error !== undefined && { error }) };
          writeJson(join(own, runFile), { ...record, ...end });
        },
      };
    },
  };
}

function recordOf({ id, name, use, config, startedAt, resumed }: TrackedRun): RunRecord {
  const status = 'running' as const;
  const fixed = { version: 1 as const, id, name, use, status, startedAt: startedAt.toISOString(), resumed };
  return { ...fixed, process: process.pid, config, outputs: {} };
}
