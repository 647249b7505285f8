import type { RunRecord } from '../jsonl/tracker.js';
import { short } from './plot.js';
import type { Point } from './run-store.js';

/** A run and its figures. */
export interface ReadRun {
  readonly run: RunRecord;
  readonly figures: ReadonlyMap<string, readonly Point[]>;
}

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Runs, one a row, with what they were, how they ended and their last losses. */
export function listTable(runs: readonly ReadRun[], now: Date): Table {
  return {
    columns: ['run', 'trainer', 'status', 'started', 'took', 'steps', 'loss', 'eval loss'],
    rows: runs.map(({ run, figures }) => [
      run.id,
      run.use,
      run.status,
      run.startedAt.slice(0, 19).replace('T', ' '),
      run.status === 'interrupted' && run.endedAt === undefined ? '' : took(run, now),
      String(figures.get('train/loss')?.at(-1)?.step ?? 0),
      lastOf(figures, 'train/loss'),
      lastOf(figures, 'eval/loss'),
    ]),
  };
}

/**
 * Runs side by side, one a column: the options in which they differ, then the last value of each figure, with the best
 * one that a held-out loss ever had.
 */
export function comparisonTable(runs: readonly ReadRun[]): Table {
  const options = runs.map(({ run }) => flat(run.config));
  const keys = [...new Set(options.flatMap((each) => [...each.keys()]))];
  const differing = keys.filter((key) => new Set(options.map((each) => each.get(key))).size > 1);
  const figures = [...new Set(runs.flatMap((run) => [...run.figures.keys()]))];
  const best = ({ figures }: ReadRun) => {
    const values = (figures.get('eval/loss') ?? []).map(({ value }) => value).filter(Number.isFinite);
    return values.length === 0 ? '' : short(Math.min(...values));
  };
  return {
    columns: ['', ...runs.map(({ run }) => run.id)],
    rows: [
      ['trainer', ...runs.map(({ run }) => run.use)],
      ['status', ...runs.map(({ run }) => run.status)],
      ...differing.map((key) => [key, ...options.map((each) => each.get(key) ?? '')]),
      ...figures.map((name) => [name, ...runs.map((run) => lastOf(run.figures, name))]),
      ...(figures.includes('eval/loss') ? [['eval/loss, best', ...runs.map(best)]] : []),
    ],
  };
}

function lastOf(figures: ReadRun['figures'], name: string): string {
  const value = figures.get(name)?.at(-1)?.value;
  return value === undefined ? '' : short(value);
}

function took({ startedAt, endedAt }: RunRecord, now: Date): string {
  const seconds = ((endedAt === undefined ? now : new Date(endedAt)).getTime() - new Date(startedAt).getTime()) / 1000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** `lora.r` -> `16`: every leaf of the options. Where a run keeps its results is no difference. */
function flat(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map([[path, JSON.stringify(value)]]);
  const parts = Object.entries(value).filter(([key]) => path !== '' || key !== 'outputDir');
  return new Map(parts.flatMap(([key, child]) => [...flat(child, path === '' ? key : `${path}.${key}`)]));
}
