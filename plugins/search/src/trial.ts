import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type AnyStepRunner, reasonOf, type StepContext } from '@largeforge/core';
import type { z } from 'zod';
import type { Combination } from './combinations.js';
import { searchErrors } from './errors.js';
import type { SearchOptions } from './options.js';

type Trainer = AnyStepRunner<'train'>;
type Figures = Readonly<Record<string, unknown>>;

/** A combination that is to be trained. */
export interface Trial {
  /** `tune/3`, or `tune/3-90` in the rung of 90 steps. */
  readonly name: string;
  /** Of its folder, below that of the search. */
  readonly folder: string;
  readonly combination: Combination;
  /** Of the rung; as the trainer's options say when there are no rungs. */
  readonly steps: number | undefined;
}

/** What became of a trial. */
export interface TrialOutcome {
  readonly status: 'finished' | 'failed';
  /** Held-out figures and outputs of the trainer. */
  readonly figures: Figures;
  readonly outputs: Figures;
  readonly error?: string;
}

/** The options of a trial, as the trainer's schema gives them. Throws LF_SEARCH_OPTIONS for what does not fit it. */
export function optionsOf(
  trainer: Trainer,
  search: SearchOptions,
  { combination, steps }: Pick<Trial, 'combination' | 'steps'>,
) {
  const options = structuredClone(search.with);
  for (const [path, value] of Object.entries(combination)) place(options, path.split('.'), value);
  if (steps !== undefined) options.maxSteps = steps;
  const parsed = trainer.options.safeParse(options);
  if (parsed.success) return parsed.data;
  const { path, message } = (parsed.error as z.ZodError).issues[0] as z.core.$ZodIssue;
  throw searchErrors.LF_SEARCH_OPTIONS({
    trainer: search.trainer,
    parameters: described(combination),
    path: path.join('.'),
    reason: message,
  });
}

/**
 * Trains a combination as a training of its own: the hooks of the stage fire for it, and its events carry its name. A trial
 * that fails (it may diverge) is an outcome; only an aborted one throws.
 */
export async function runTrial(
  context: StepContext<'train'>,
  trainer: Trainer,
  trial: Trial,
  options: unknown,
  { use, folder, resume }: { use: string; folder: string; resume: boolean },
): Promise<TrialOutcome> {
  const { events, hooks, signal } = context;
  const { name } = trial;
  const outputDir = join(folder, trial.folder);
  let evaluated: Figures = {};
  const detach = events.on('train.evaluated', ({ task, metrics }) => {
    if (task === name) evaluated = metrics;
  });
  try {
    const planned = await hooks.plan.fire({ step: name, use, options, outputDir, resume });
    await hooks.before.fire(planned);
    const reloadable = () => {};
    mkdirSync(planned.outputDir, { recursive: true });
    // What lies in the folder of a trial is of this search or of an earlier one, never a training of its own.
    const own: StepContext<'train'> = {
      ...context,
      name,
      outputDir: planned.outputDir,
      resume,
      force: !resume,
      reloadable,
    };
    const outputs = await trainer.run(own as never, planned.options as never);
    await hooks.after.fire({ plan: planned, outputs });
    return { status: 'finished', figures: { ...outputs, ...evaluated }, outputs };
  } catch (error) {
    const interrupted = signal.aborted;
    const { code = interrupted ? 'LF_PIPELINE_INTERRUPTED' : undefined } = interrupted
      ? {}
      : (error as { code?: string });
    const reason = reasonOf(error);
    events.emit({ type: 'step.failed', step: name, error: { ...(code !== undefined && { code }), message: reason } });
    if (interrupted) throw error;
    return { status: 'failed', figures: {}, outputs: {}, error: reason };
  } finally {
    detach();
  }
}

/** `learningRate 0.001, lora.r 8` */
export function described(combination: Combination): string {
  return Object.entries(combination)
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
}

function place(options: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = options;
  for (const key of path.slice(0, -1)) {
    const next = at[key];
    at[key] = typeof next === 'object' && next !== null ? next : {};
    at = at[key] as Record<string, unknown>;
  }
  at[path.at(-1) as string] = value;
}
