import { join } from 'node:path';
import { type CommandContext, type CommandDefinition, integerBetween, resolveUserPath } from '@largeforge/core';
import { trackingErrors } from '../errors.js';
import { comparisonTable, listTable, type ReadRun } from './compare.js';
import { plot } from './plot.js';
import { findRun, readFigures, readRuns } from './run-store.js';

const runArguments = [
  { name: '<runs...>', description: 'ids, beginnings of ids, or names of steps (their last runs)' },
];

/** `largeforge runs`: what was trained, read from the files of the tracker `jsonl`. */
export const runsCommands: readonly CommandDefinition<CommandContext>[] = [
  {
    name: 'runs',
    summary: 'list recorded trainings',
    description: 'Lists the trainings that were recorded in the run folder of the config, the last first.',
    examples: [
      'largeforge runs',
      'largeforge runs compare tune-a tune-b',
      'largeforge runs plot tune --figure train/loss',
    ],
    options: [{ flags: '--limit <count>', description: 'so many at most', default: 20, parse: integerBetween(1, 1e6) }],
    async run({ options }, context) {
      const { runs, folder, open } = openRuns(context);
      if (runs.length === 0) return tell(context, `no training was recorded in ${folder}`);
      const shown = runs.toReversed().slice(0, options.limit as number);
      context.events.emit({
        type: 'table',
        task: 'runs',
        ...listTable(
          shown.map(({ id }) => open(id)),
          new Date(),
        ),
      });
    },
  },
  {
    name: 'runs compare',
    summary: 'put recorded trainings side by side: options that differ, last figures',
    examples: ['largeforge runs compare 20261129-2215 20261129-2230'],
    arguments: runArguments,
    async run({ positionals }, context) {
      const { open } = openRuns(context);
      const table = comparisonTable((positionals[0] as string[]).map(open));
      context.events.emit({ type: 'table', task: 'runs', ...table });
    },
  },
  {
    name: 'runs plot',
    summary: 'draw a figure of recorded trainings over their steps',
    examples: ['largeforge runs plot tune', 'largeforge runs plot tune-a tune-b --figure eval/loss'],
    arguments: runArguments,
    options: [
      {
        flags: '--figure <name>',
        description: 'such as train/loss, eval/loss or train/grad_norm',
        default: 'train/loss',
      },
      { flags: '--width <columns>', description: 'of the drawing', default: 72, parse: integerBetween(10, 1000) },
      { flags: '--height <rows>', description: 'of the drawing', default: 16, parse: integerBetween(2, 200) },
    ],
    async run({ positionals, options }, context) {
      const { open } = openRuns(context);
      const read = (positionals[0] as string[]).map(open);
      const figure = options.figure as string;
      const known = [...new Set(read.flatMap(({ figures }) => [...figures.keys()]))];
      if (!known.includes(figure)) throw trackingErrors.LF_RUNS_FIGURE({ figure, known });
      const curves = read.map(({ run, figures }) => ({ name: run.id, points: figures.get(figure) ?? [] }));
      const title = read.length === 1 ? `${figure} of ${read[0]!.run.id}` : figure;
      const size = { columns: options.width as number, rows: options.height as number };
      tell(context, plot(title, curves, size).join('\n'));
    },
  },
];

function tell({ events }: CommandContext, text: string): void {
  events.emit({ type: 'message', level: 'info', text });
}

function openRuns({ config }: CommandContext) {
  const folder = join(resolveUserPath(config.baseDir, config.root.runDir), 'runs');
  const runs = readRuns(folder);
  const open = (word: string): ReadRun => {
    const run = findRun(runs, word, folder);
    return { run, figures: readFigures(folder, run) };
  };
  return { runs, folder, open };
}
