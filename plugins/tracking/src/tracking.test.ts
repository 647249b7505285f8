import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application, definePlugin, defineStepRunner, type RunEvent } from '@largeforge/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import tracking from './index.js';
import type { RunEnd, TrackedRun } from './tracker.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-tracking-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What the tracker `memory` was told. */
const told = { runs: [] as TrackedRun[], steps: [] as number[], ends: [] as RunEnd[] };

const step = {
  totalSteps: 3,
  epoch: 0.5,
  learningRate: 1e-3,
  gradNorm: 1,
  tokensPerSecond: 9,
  etaSeconds: 0,
  memoryBytes: 64,
};

/** A trainer that shows figures, and trackers that remember or fail. */
const parts = definePlugin({
  name: 'parts',
  version: '1.0.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup({ registries }) {
    registries.trainer.add('fake', {
      load: () =>
        defineStepRunner('train', {
          options: z.strictObject({
            rate: z.number().default(1),
            failAt: z.int().default(9),
            apiKey: z.string().optional(),
          }),
          async run({ events, name: task }, { rate, failAt }) {
            for (let at = 1; at <= 3; at++) {
              if (at === failAt) throw new Error('no more');
              events.emit({
                type: 'train.step',
                task,
                ...step,
                step: at,
                loss: rate / at,
                metrics: { 'rewards/margins': at },
              });
            }
            events.emit({ type: 'train.evaluated', task, step: 3, metrics: { loss: rate / 2, accuracy: 0.5 } });
            return { loss: rate / 3, model: '/nowhere' };
          },
        }),
    });
    registries.tracker.add('memory', {
      load: () => ({
        open(run) {
          told.runs.push(run);
          return { log: (at) => void told.steps.push(at), finish: (end) => void told.ends.push(end) };
        },
      }),
    });
    registries.tracker.add('broken', {
      load: () => ({
        open: () => ({
          log: () => {
            throw new Error('the disk is full');
          },
          finish: () => {},
        }),
      }),
    });
  },
});

async function boot(use?: string[], pipeline: object[] = []) {
  const plugins = [use ? ['@largeforge/tracking', { use }] : '@largeforge/tracking', 'parts'];
  writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify({ plugins, pipeline }));
  const modules = { '@largeforge/tracking': async () => tracking, parts: async () => parts };
  const lines: string[] = [];
  const logTo = { write: (line: string) => lines.push(line) };
  const application = await Application.boot({ cwd: folder, modules, env: {}, logTo, logFormat: 'json' });
  const events: RunEvent[] = [];
  application.events.on((event) => void events.push(event));
  return { application, events, lines };
}

async function train(options: Record<string, unknown> = {}, use?: string[]) {
  const { application, events, lines } = await boot(use, [
    { name: 'tune', stage: 'train', use: 'fake', with: options },
  ]);
  try {
    await application.runPipeline({ force: true });
  } finally {
    await application.close();
  }
  return { events, lines };
}

/** Runs `largeforge <name>`; gives what it shows. */
async function command(name: string, positionals: unknown[] = [], options: Record<string, unknown> = {}) {
  const { application, events } = await boot();
  try {
    const { command } = application.ownedCommands.find((owned) => owned.command.name === name)!;
    const defaults = (command.options ?? []).map((flag) => [/--(\w+)/.exec(flag.flags)![1]!, flag.default]);
    await command.run(
      { options: { ...Object.fromEntries(defaults), ...options }, positionals },
      application.commandContext(),
    );
  } finally {
    await application.close();
  }
  const table = events.find((event) => event.type === 'table');
  const message = events.find((event) => event.type === 'message');
  return { table, text: message?.text ?? '' };
}

const runsFolder = () => join(folder, '.largeforge/runs');
const record = (id: string) => JSON.parse(readFileSync(join(runsFolder(), id, 'run.json'), 'utf8'));

describe('a recorded training', () => {
  it('leaves its options, figures and end in files, secrets masked', async () => {
    await train({ rate: 6, apiKey: 'sk-1234567890' });
    const [id] = readdirSync(runsFolder()) as [string];
    expect(id).toMatch(/^\d{8}-\d{6}-tune-[0-9a-f]{6}$/);
    const wanted = { id, name: 'tune', use: 'fake', status: 'finished', resumed: false };
    expect(record(id)).toMatchObject({ ...wanted, config: { rate: 6, apiKey: '[secret]' }, outputs: { loss: 2 } });
    const lines = readFileSync(join(runsFolder(), id, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    const rows = lines.map((line) => JSON.parse(line));
    expect(rows.map((row) => row.step)).toEqual([1, 2, 3, 3]);
    expect(rows[1]).toMatchObject({ 'train/loss': 3, 'train/learning_rate': 1e-3, 'train/rewards/margins': 2 });
    expect(rows[3]).toMatchObject({ 'eval/loss': 3, 'eval/accuracy': 0.5 });
  });

  it('that fails is recorded as failed, with the reason', async () => {
    await expect(train({ failAt: 2 })).rejects.toThrow();
    expect(record(readdirSync(runsFolder())[0]!)).toMatchObject({
      status: 'failed',
      error: expect.stringMatching(/no more/),
    });
  });

  it('that fails before its first step leaves no run', async () => {
    await expect(train({ failAt: 1 })).rejects.toThrow();
    expect((await command('runs')).text).toMatch(/no training was recorded/);
  });

  it('goes to every tracker that is named, in order, to its end', async () => {
    Object.assign(told, { runs: [], steps: [], ends: [] });
    await train({}, ['memory', 'jsonl']);
    expect(told.runs).toMatchObject([{ name: 'tune', use: 'fake', resumed: false }]);
    expect(told.steps).toEqual([1, 2, 3, 3]);
    expect(told.ends).toMatchObject([{ status: 'finished', outputs: { loss: 1 / 3 } }]);
    expect(readdirSync(runsFolder()).length).toBe(1);
  });

  it('is not disturbed by a tracker that fails, which is told once', async () => {
    const { events, lines } = await train({}, ['broken', 'jsonl']);
    expect(events.some((event) => event.type === 'pipeline.finished')).toBe(true);
    expect(lines.filter((line) => line.includes('the tracker broken failed')).length).toBe(1);
    expect(record(readdirSync(runsFolder())[0]!).status).toBe('finished');
  });

  it('by a tracker that nobody has is refused before anything runs', async () => {
    await expect(train({}, ['wandbb'])).rejects.toThrow(/wandbb/);
  });
});

describe('largeforge runs', () => {
  it('lists, compares and plots what was trained', async () => {
    await train({ rate: 6 });
    await train({ rate: 3 });
    const ids = readdirSync(runsFolder()).sort();
    const list = await command('runs');
    expect(list.table?.rows.map((row) => row[0]).sort()).toEqual(ids);
    expect(list.table?.rows.map((row) => row.slice(1, 3))).toEqual([
      ['fake', 'finished'],
      ['fake', 'finished'],
    ]);

    const compared = (await command('runs compare', [ids])).table;
    const row = (name: string) => compared?.rows.find((each) => each[0] === name)?.slice(1);
    expect(compared?.columns).toEqual(['', ...ids]);
    expect(row('rate')?.toSorted()).toEqual(['3', '6']);
    expect(row('failAt')).toBeUndefined();
    expect(row('train/loss')?.toSorted()).toEqual(['1', '2']);
    expect(row('eval/loss, best')?.toSorted()).toEqual(['1.5', '3']);

    const one = (await command('runs plot', [['tune']], { width: 20, height: 4 })).text.split('\n');
    expect(one[0]).toMatch(/^train\/loss of \d/);
    expect(one.length).toBe(1 + 4 + 2);
    expect(one[1]).toMatch(/│[⠁-⣿]/);
    const both = (await command('runs plot', [ids], { figure: 'eval/loss', height: 4 })).text;
    for (const id of ids) expect(both).toContain(id);
  });

  it('tells a killed run, and reads a file that a crash cut off', async () => {
    await train();
    const [id] = readdirSync(runsFolder()) as [string];
    const gone = { ...record(id), status: 'running', process: 2 ** 22 + 12345 };
    writeFileSync(join(runsFolder(), id, 'run.json'), JSON.stringify(gone));
    appendFileSync(join(runsFolder(), id, 'metrics.jsonl'), '{"step":4,"train/lo');
    const { table } = await command('runs');
    expect(table?.rows[0]?.slice(2, 3)).toEqual(['interrupted']);
    expect(table?.rows[0]?.[5]).toBe('3');
  });

  it.each([
    ['runs plot', [['nobody']], {}, /no run 'nobody'/],
    ['runs plot', [['tune']], { figure: 'train/los' }, /figure 'train\/los' Did you mean "train\/loss"/],
    ['runs compare', [['2']], {}, /several runs begin with '2'/],
  ])('%s %j says what is wrong', async (name, positionals, options, message) => {
    await train();
    await train();
    await expect(command(name, positionals, options)).rejects.toMatchObject({
      message: expect.stringMatching(message),
    });
  });
});
