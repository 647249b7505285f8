import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { trainingErrors } from '../errors.js';
import { lossScaleState } from '../loss-scale.js';

const fileName = 'trainer_state.json';

/** Options as they are, to be compared as text. */
const settings = z.record(z.string(), z.unknown());

/** What a run was begun with, as far as its result depends on it. A resumed run must have the same. */
export const runIdentity = z.object({
  objective: z.string(),
  /** Of the rows and of those held out. */
  data: z.string(),
  rows: z.int(),
  units: z.int(),
  totalSteps: z.int(),
  seed: z.int(),
  order: z.string(),
  batchSize: z.int(),
  accumulation: z.int(),
  packing: z.int().nullable(),
  neftuneAlpha: z.number().nullable(),
  optimizer: settings,
  schedule: settings,
  lossScale: settings.nullable(),
  averageDecay: z.number().nullable(),
  spikes: settings,
  /** Names and shapes of what is trained. */
  parameters: z.string(),
});

export type RunIdentity = z.infer<typeof runIdentity>;

/** JSON has no NaN: null stands for it. */
const curve = z.array(
  z
    .number()
    .nullable()
    .transform((value) => value ?? Number.NaN),
);

const evaluation = z.object({ step: z.int(), metrics: z.record(z.string(), z.number()) });

const runState = z.object({
  version: z.literal(1),
  run: runIdentity,
  /** Optimiser steps that are done, those among them that changed nothing. */
  step: z.int(),
  /** Updates that were made: what the optimiser counts by. */
  updates: z.int(),
  /** Steps by which the rows are ahead of `step`: those that were rolled back. */
  shift: z.int(),
  rollbacks: z.int(),
  /** Of late, in a row. */
  skips: z.int(),
  lossScale: lossScaleState.nullable(),
  /** Where the next step takes its rows; it follows from the step, and is there to be read. */
  cursor: z.object({ epoch: z.int(), position: z.int() }),
  tokens: z.number(),
  seconds: z.number(),
  evaluations: z.array(evaluation),
  best: evaluation.nullable(),
  /** Evaluations since the best one. */
  sinceBest: z.int(),
  /** Loss of every step, for the curve. */
  losses: curve,
  /** Gradient norm of the steps that a spike is told by. */
  gradNorms: curve,
});

/** The state of a run between two steps, but for its tensors. */
export type RunState = z.infer<typeof runState>;

export async function writeRunState(folder: string, state: RunState): Promise<void> {
  await writeFile(join(folder, fileName), `${JSON.stringify(state, undefined, 1)}\n`);
}

/** @throws LF_ENGINE_CHECKPOINT_CORRUPT */
export async function readRunState(folder: string): Promise<RunState> {
  try {
    return runState.parse(JSON.parse(await readFile(join(folder, fileName), 'utf8')));
  } catch (cause) {
    throw trainingErrors.CHECKPOINT_CORRUPT({ path: folder, reason: `${fileName} is not readable` }, { cause });
  }
}

/**
 * Refuses to go on with other data or options than the run began with: it would not be the same run.
 * @throws LF_ENGINE_TRAIN_RESUME_DIFFERS that lists what differs
 */
export function checkSameRun(path: string, saved: RunIdentity, current: RunIdentity): void {
  const differences: string[] = [];
  for (const key of Object.keys(current) as (keyof RunIdentity)[]) {
    const [before, now] = [JSON.stringify(saved[key]), JSON.stringify(current[key])];
    if (before !== now) differences.push(`${key} was ${shorten(before)}, is ${shorten(now)}`);
  }
  if (differences.length > 0) throw trainingErrors.TRAIN_RESUME_DIFFERS({ path, differences });
}

function shorten(text: string): string {
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
