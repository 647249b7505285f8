import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { trackingErrors } from '../errors.js';
import { figuresFile, type RunRecord, runFile } from '../jsonl/tracker.js';

/** A figure of a step. */
export interface Point {
  readonly step: number;
  readonly value: number;
}

/** Runs that the tracker `jsonl` wrote, the oldest first. A folder that holds no run is passed over. */
export function readRuns(folder: string): RunRecord[] {
  if (!existsSync(folder)) return [];
  const runs = readdirSync(folder).flatMap((name) => {
    try {
      const run = JSON.parse(readFileSync(join(folder, name, runFile), 'utf8')) as RunRecord;
      return run.version === 1 ? [alive(run)] : [];
    } catch {
      return [];
    }
  });
  return runs.sort((a, b) => (a.startedAt < b.startedAt ? -1 : a.startedAt > b.startedAt ? 1 : 0));
}

/** A run that is `running` in a process that is gone was killed. */
function alive(run: RunRecord): RunRecord {
  if (run.status !== 'running') return run;
  try {
    process.kill(run.process, 0);
    return run;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' ? { ...run, status: 'interrupted' } : run;
  }
}

/**
 * The run that a word means: an id, the beginning of one, or the name of a step, of which the last run is taken.
 * @throws LF_RUNS_UNKNOWN, LF_RUNS_AMBIGUOUS
 */
export function findRun(runs: readonly RunRecord[], word: string, folder: string): RunRecord {
  const exact = runs.find(({ id }) => id === word) ?? runs.findLast(({ name }) => name === word);
  if (exact) return exact;
  const found = runs.filter(({ id }) => id.startsWith(word));
  if (found.length > 1) throw trackingErrors.LF_RUNS_AMBIGUOUS({ run: word, found: found.map(({ id }) => id) });
  if (found[0]) return found[0];
  const known = [...new Set(runs.flatMap(({ id, name }) => [id, name]))];
  throw trackingErrors.LF_RUNS_UNKNOWN({ run: word, folder, known });
}

/** The figures of a run, by name. A line that a crash cut off is passed over. */
export function readFigures(folder: string, { id }: RunRecord): Map<string, Point[]> {
  const figures = new Map<string, Point[]>();
  const file = join(folder, id, figuresFile);
  for (const line of existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []) {
    let parsed: Record<string, unknown>;
    try {
      parsed = JSON.parse(line);
    } catch {
      continue;
    }
    const { step, time: _, ...values } = parsed;
    for (const [name, value] of Object.entries(values)) {
      const points = figures.get(name) ?? [];
      points.push({ step: Number(step), value: Number(value ?? Number.NaN) });
      figures.set(name, points);
    }
  }
  return figures;
}
