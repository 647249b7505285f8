import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application, definePlugin, defineStepRunner, type RunEvent } from '@largeforge/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { combinationsOf, draw, grid } from './combinations.js';
import search from './index.js';
import { searchOptions } from './options.js';
import { planRungs } from './rungs.js';

let folder: string;
let ran: Record<string, unknown>[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-search-'));
  ran = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A trainer whose held-out loss is a bowl over its options, lower after more steps. */
const bowl = definePlugin({
  name: 'bowl',
  version: '1.0.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup({ registries }) {
    registries.trainer.add('bowl', {
      load: () =>
        defineStepRunner('train', {
          options: z.strictObject({
            rate: z.number().positive(),
            inner: z.strictObject({ size: z.int() }).prefault({ size: 1 }),
            maxSteps: z.int().default(5),
            stopAt: z.number().optional(),
          }),
          async run(context, { rate, inner, maxSteps, stopAt }) {
            ran.push({ rate, size: inner.size, maxSteps, resume: context.resume, name: context.name });
            if (rate === stopAt) throw new Error(context.signal.aborted ? 'stopped' : 'diverged');
            writeFileSync(join(context.outputDir, 'weights'), String(rate));
            const loss = (Math.log10(rate) + 3) ** 2 + (inner.size - 4) ** 2 + 1 / maxSteps;
            context.events.emit({
              type: 'train.evaluated',
              task: context.name,
              step: maxSteps,
              metrics: { loss, accuracy: -loss },
            });
            return { model: context.outputDir, steps: maxSteps };
          },
        }),
    });
  },
});

async function run(options: Record<string, unknown>, flags: { resume?: boolean } = {}) {
  const step = { name: 'best', stage: 'train', use: 'search', with: { trainer: 'bowl', ...options } };
  const config = { plugins: ['@largeforge/search', 'bowl'], pipeline: [step] };
  writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify(config));
  const modules = { '@largeforge/search': async () => search, bowl: async () => bowl };
  const application = await Application.boot({ cwd: folder, modules, env: {}, logLevel: 'silent' });
  const events: RunEvent[] = [];
  application.events.on((event) => void events.push(event));
  try {
    const { outputs } = await application.runPipeline(flags);
    return { outputs: outputs.get('best') ?? {}, events };
  } finally {
    await application.close();
  }
}

const tableOf = (events: readonly RunEvent[]) => events.filter((event) => event.type === 'table');

describe('a search', () => {
  it('tries every combination of a grid, gives the best one and shows one table', async () => {
    const parameters = { rate: [1e-2, 1e-3, 1e-4], 'inner.size': [2, 4] };
    const { outputs, events } = await run({ parameters });
    expect(outputs).toMatchObject({ parameters: { rate: 1e-3, 'inner.size': 4 }, trials: 6, steps: 5 });
    expect(outputs.loss).toBeCloseTo(1 / 5);
    const [table, ...more] = tableOf(events);
    expect(more).toEqual([]);
    expect(table?.columns).toEqual(['trial', 'rate', 'inner.size', 'loss']);
    expect(table?.rows.length).toBe(6);
    expect(table?.rows[0]).toEqual(['best/5', '0.001', '4', '0.2']);
    // Only the best one's files are kept.
    expect(readdirSync(join(folder, '.largeforge/best')).sort()).toEqual(['search.json', 'trial-5']);
    expect(existsSync(join(outputs.model as string, 'weights'))).toBe(true);
  });

  it('gives more steps to fewer trials by successive halving', async () => {
    const parameters = { rate: { min: 1e-5, max: 1e-1, scale: 'log' } };
    const halving = { eta: 3, minSteps: 2, maxSteps: 18 };
    const { outputs, events } = await run({ method: 'halving', trials: 9, parameters, halving });
    expect(ran.map(({ maxSteps }) => maxSteps)).toEqual([...new Array(9).fill(2), 6, 6, 6, 18]);
    expect(outputs).toMatchObject({ trials: 13, steps: 18 });
    const distance = ({ rate }: Record<string, unknown>) => Math.abs(Math.log10(rate as number) + 3);
    expect(distance(ran.at(-1)!)).toBe(Math.min(...ran.slice(0, 9).map(distance)));
    expect(tableOf(events)[0]?.rows[0]?.[0]).toMatch(/-18$/);
  });

  it('goes on after a trial that fails, and shows why', async () => {
    const { outputs, events } = await run({ parameters: { rate: [1e-3, 1e-4] }, with: { stopAt: 1e-3 } });
    expect(outputs.parameters).toEqual({ rate: 1e-4 });
    expect(tableOf(events)[0]?.rows.at(-1)?.at(-1)).toBe('failed: diverged');
  });

  it('does not repeat what had ended when it is resumed', async () => {
    const parameters = { rate: [1e-2, 1e-3, 1e-4] };
    await run({ parameters, metric: 'loss' });
    await run({ parameters, metric: 'loss' }, { resume: true });
    // The whole step is skipped when nothing changed; a table that lacks the last trial runs it alone.
    expect(ran.length).toBe(3);
    const path = join(folder, '.largeforge/best/search.json');
    const journal = JSON.parse((await import('node:fs')).readFileSync(path, 'utf8'));
    delete journal.outcomes['best/3'];
    writeFileSync(path, JSON.stringify(journal));
    rmSync(join(folder, '.largeforge/pipeline.json'));
    const { outputs } = await run({ parameters, metric: 'loss' }, { resume: true });
    expect(ran.slice(3)).toEqual([expect.objectContaining({ rate: 1e-4, resume: true })]);
    expect(outputs.parameters).toEqual({ rate: 1e-3 });
  });

  it('finds the largest where that is the goal', async () => {
    const { outputs } = await run({ parameters: { rate: [1e-2, 1e-3] }, metric: 'accuracy', goal: 'maximize' });
    expect(outputs.parameters).toEqual({ rate: 1e-3 });
  });

  it.each([
    [{ parameters: {} }, /at least one parameter/],
    [{ parameters: { rte: [1] } }, /cannot be run with rte 1: .*(rate|rte)/],
    [{ parameters: { rate: [0] } }, /cannot be run with rate 0: rate: .*>0/],
    [{ parameters: { rate: { min: 1, max: 2 } } }, /a grid has no ranges/],
    [{ parameters: { rate: { min: 2, max: 1 } }, method: 'random' }, /min below max/],
    [{ parameters: { maxSteps: [1] }, method: 'halving' }, /not with halving/],
    [{ parameters: { rate: [1] }, trainer: 'search' }, /cannot be what a search runs/],
    [{ parameters: { rate: [1] }, trainer: 'bow' }, /no trainer|bowl/],
    [{ parameters: { rate: [1] }, metric: 'f1' }, /no figure 'f1'; they have: .*loss/],
    [{ parameters: { rate: [1e-3] }, with: { stopAt: 1e-3 } }, /none of 1 trials ended: the first said: diverged/],
  ])('says what is wrong with it: %o', async (options, message) => {
    await expect(run(options)).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });
});

/** `n_candidates_` and `n_resources_` of scikit-learn 1.9.1's HalvingGridSearchCV (aggressive_elimination off). */
it.each([
  [10, 3, 10, 90, [10, 4, 2], [10, 30, 90]],
  [27, 3, 1, 27, [27, 9, 3, 1], [1, 3, 9, 27]],
  [5, 2, 4, 100, [5, 3, 2], [4, 8, 16]],
  [16, 4, 5, 30, [16, 4], [5, 20]],
  [2, 3, 10, 90, [2], [10]],
  [1, 2, 5, 5, [1], [5]],
  [9, 3, 10, 1000, [9, 3, 1], [10, 30, 90]],
  [8, 2, 1, 8, [8, 4, 2, 1], [1, 2, 4, 8]],
  [3, 3, 2, 10, [3, 1], [2, 6]],
])(
  "the rungs of %i trials, eta %i, %i to %i steps are scikit-learn's",
  (trials, eta, minSteps, maxSteps, counts, steps) => {
    const rungs = planRungs(trials, { eta, minSteps, maxSteps });
    expect(rungs.map((rung) => rung.trials)).toEqual(counts);
    expect(rungs.map((rung) => rung.steps)).toEqual(steps);
  },
);

describe('combinations', () => {
  it("are in the order of scikit-learn's ParameterGrid", () => {
    // list(ParameterGrid({'b': [1, 2], 'a': ['x', 'y', 'z']}))
    const expected = [
      { a: 'x', b: 1 },
      { a: 'x', b: 2 },
      { a: 'y', b: 1 },
      { a: 'y', b: 2 },
      { a: 'z', b: 1 },
      { a: 'z', b: 2 },
    ];
    expect(grid({ b: [1, 2], a: ['x', 'y', 'z'] })).toEqual(expected);
  });

  it('that are drawn from lists never repeat, and are all when there are no more', () => {
    const parameters = { a: [1, 2, 3], b: [1, 2, 3] };
    const drawn = draw(parameters, 7, 1).map((each) => JSON.stringify(each));
    expect(new Set(drawn).size).toBe(7);
    expect(draw(parameters, 99, 1).length).toBe(9);
    expect(draw(parameters, 7, 2)).not.toEqual(draw(parameters, 7, 1));
  });

  it('that are drawn from ranges fill them: uniformly, by factors, whole numbers with both bounds', () => {
    const parse = (parameters: object) =>
      searchOptions.parse({ trainer: 't', method: 'random', trials: 2000, parameters });
    const drawn = combinationsOf(
      parse({
        u: { min: -1, max: 3 },
        l: { min: 1e-5, max: 1e-1, scale: 'log' },
        i: { min: 1, max: 4, integer: true },
      }),
    );
    const mean = (of: (each: Record<string, unknown>) => number) =>
      drawn.reduce((sum, each) => sum + of(each), 0) / drawn.length;
    // Standard errors: 4 / sqrt(12 * 2000) = 0.026 of both.
    expect(mean(({ u }) => u as number)).toBeCloseTo(1, 0.5);
    expect(mean(({ l }) => Math.log10(l as number))).toBeCloseTo(-3, 0.5);
    const counts = [1, 2, 3, 4].map((value) => drawn.filter(({ i }) => i === value).length);
    expect(counts.reduce((a, b) => a + b)).toBe(2000);
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(100);
  });
});
