import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { reasonOf } from '../kernel/errors.js';
import type { Logger } from '../kernel/plugin.js';

const stepRecord = z.object({
  /** Digest of everything that decides the step's result. */
  hash: z.string(),
  status: z.enum(['running', 'finished', 'failed', 'interrupted', 'refused']),
  outputs: z.record(z.string(), z.unknown()),
  /** Outputs that were paths of something when the step finished: gone ones make it run again. */
  files: z.array(z.string()),
  startedAt: z.string(),
  finishedAt: z.string().optional(),
});

export type StepRecord = z.output<typeof stepRecord>;

const stateFile = z.object({ version: z.literal(1), steps: z.record(z.string(), stepRecord) });

/**
 * What steps left behind, in one file that is replaced as a whole: a crash at any moment leaves the old or the new one.
 * A step that is `running` in it, and does not run, was killed.
 */
export class PipelineState {
  /** @param file undefined: nothing is kept (steps that are in no config) */
  constructor(
    private readonly file: string | undefined,
    private readonly log: Logger,
  ) {}

  get(step: string): StepRecord | undefined {
    const { steps } = this.read();
    return Object.hasOwn(steps, step) ? steps[step] : undefined;
  }

  /** Replaces one step's record; other steps may have been written by another process meanwhile. */
  set(step: string, record: StepRecord): void {
    if (this.file === undefined) return;
    const state = this.read();
    this.write({ ...state, steps: { ...state.steps, [step]: record } });
  }

  private read(): z.output<typeof stateFile> {
    const empty = { version: 1 as const, steps: {} };
    if (this.file === undefined || !existsSync(this.file)) return empty;
    try {
      return stateFile.parse(JSON.parse(readFileSync(this.file, 'utf8')));
    } catch (error) {
      const aside = `${this.file}.damaged`;
      renameSync(this.file, aside);
      const reason = error instanceof z.ZodError ? z.prettifyError(error).split('\n')[0] : reasonOf(error);
      this.log.warn(`${this.file} is damaged (${reason}): every step runs again; the file is kept as ${aside}`);
      return empty;
    }
  }

  private write(state: z.output<typeof stateFile>): void {
    mkdirSync(dirname(this.file!), { recursive: true });
    const temporary = `${this.file}.${process.pid}.new`;
    const handle = openSync(temporary, 'w');
    try {
      writeSync(handle, `${JSON.stringify(state, null, 2)}\n`);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(temporary, this.file!);
  }
}
