import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type AnyStepRunner, type CheckContext, defineStepRunner, type StepContext } from '@largeforge/core';
import { type Combination, combinationsOf } from './combinations.js';
import { searchErrors } from './errors.js';
import { SearchJournal } from './journal.js';
import { type SearchOptions, searchOptions } from './options.js';
import { planRungs } from './rungs.js';
import { optionsOf, runTrial, type Trial, type TrialOutcome } from './trial.js';

/** A trial that was run, and the figure that decides. */
interface Judged {
  readonly trial: Trial;
  readonly outcome: TrialOutcome;
  /** NaN for a trial that failed. */
  readonly value: number;
}

/** A search over the options of a trainer. Its outputs are those of the best trial, which `parameters` names. */
export const searchRunner = defineStepRunner('train', {
  options: searchOptions,
  // Texts that are no paths count by themselves.
  inputs: ({ with: fixed, parameters }: SearchOptions) => ({ paths: textsIn([fixed, parameters]) }),
  async check(context, options: SearchOptions) {
    const trainer = await trainerOf(context, options);
    for (const combination of combinationsOf(options)) {
      const parsed = optionsOf(trainer, options, { combination, steps: rungsOf(options, 1)[0]?.steps });
      await trainer.check?.(context, parsed as never);
    }
  },
  run,
});

async function run(context: StepContext<'train'>, options: SearchOptions): Promise<Record<string, unknown>> {
  const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
  const trainer = await trainerOf(context, options);
  const journal = new SearchJournal(folder, options, context.resume);
  const combinations = combinationsOf(options);
  const judged: Judged[] = [];
  let left = combinations.map((combination, index) => ({ combination, index }));
  for (const { trials, steps } of rungsOf(options, left.length)) {
    const rung: (Judged & { index: number })[] = [];
    for (const { combination, index } of left.slice(0, trials)) {
      rung.push({ ...(await judge(combination, index, steps)), index });
    }
    judged.push(...rung);
    left = sorted(rung, options).map(({ trial: { combination }, index }) => ({ combination, index }));
  }
  showTable(context, options, judged);
  const last = judged.filter(({ trial }) => trial.steps === judged.at(-1)?.trial.steps);
  const best = sorted(last, options)[0];
  if (!best) {
    throw searchErrors.LF_SEARCH_FAILED({ trials: judged.length, reason: judged[0]?.outcome.error ?? 'nothing' });
  }
  if (options.keep === 'best') {
    for (const { trial } of judged) {
      if (trial !== best.trial) rmSync(join(folder, trial.folder), { recursive: true, force: true });
    }
  }
  const { combination, folder: bestFolder } = best.trial;
  return {
    ...best.outcome.outputs,
    parameters: combination,
    [options.metric]: best.value,
    trials: judged.length,
    folder: join(folder, bestFolder),
    table: journal.path,
  };

  async function judge(combination: Combination, index: number, steps: number | undefined): Promise<Judged> {
    const number = `${index + 1}${steps === undefined ? '' : `-${steps}`}`;
    const trial: Trial = { name: `${context.name}/${number}`, folder: `trial-${number}`, combination, steps };
    const parsed = optionsOf(trainer, options, trial);
    const place = { use: options.trainer, folder, resume: journal.continues };
    const known = journal.get(trial.name);
    const outcome = known ?? (await runTrial(context, trainer, trial, parsed, place));
    if (!known) journal.set(trial.name, outcome);
    if (outcome.status === 'failed') return { trial, outcome, value: Number.NaN };
    const value = outcome.figures[options.metric];
    if (typeof value === 'number') return { trial, outcome, value };
    const names = Object.keys(outcome.figures).filter((name) => typeof outcome.figures[name] === 'number');
    throw searchErrors.LF_SEARCH_METRIC({ metric: options.metric, known: names });
  }
}

/** One rung without a length of its own, unless it is successive halving. */
function rungsOf({ method, halving }: SearchOptions, trials: number): { trials: number; steps: number | undefined }[] {
  return method === 'halving' ? planRungs(trials, halving) : [{ trials, steps: undefined }];
}

async function trainerOf(
  { kernel }: Pick<StepContext | CheckContext, 'kernel'>,
  { trainer }: SearchOptions,
): Promise<AnyStepRunner<'train'>> {
  if (trainer === 'search') throw searchErrors.LF_SEARCH_NESTED();
  return kernel.registries.trainer.get(trainer, 'trainer of the search');
}

/** Trials that ended with a figure, the best first; the earlier one of equals. */
function sorted<Each extends Judged>(judged: readonly Each[], { goal }: SearchOptions): Each[] {
  const sign = goal === 'minimize' ? 1 : -1;
  return judged.filter(({ value }) => Number.isFinite(value)).sort((a, b) => sign * (a.value - b.value));
}

/** One table of all trials: the last rung first, the best first within each, what failed at the end. */
function showTable(
  { events, name: task }: StepContext<'train'>,
  options: SearchOptions,
  judged: readonly Judged[],
): void {
  const names = Object.keys(options.parameters);
  const rungs = [...new Set(judged.map(({ trial }) => trial.steps))].reverse();
  const ordered = rungs.flatMap((steps) => {
    const rung = judged.filter(({ trial }) => trial.steps === steps);
    return [...sorted(rung, options), ...rung.filter(({ value }) => !Number.isFinite(value))];
  });
  const halving = options.method === 'halving';
  events.emit({
    type: 'table',
    task,
    columns: ['trial', ...names, ...(halving ? ['steps'] : []), options.metric],
    rows: ordered.map(({ trial, outcome, value }) => [
      trial.name,
      ...names.map((name) => cell(trial.combination[name])),
      ...(halving ? [trial.steps as number] : []),
      outcome.status === 'failed' ? `failed: ${outcome.error}` : cell(value),
    ]),
  });
}

function cell(value: unknown): string {
  if (typeof value === 'number')
    return Number.isInteger(value) ? String(value) : Number(value.toPrecision(4)).toString();
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value === '' ? [] : [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
