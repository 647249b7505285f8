import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { checkPlugin, testPlugin } from '@largeforge/core/testing';
import { afterAll, describe, expect, test } from 'vitest';
import { routeReplayCommand } from '../commands/route-replay.js';
import plugin from '../index.js';
import { loadRouter } from '../router/artifact.js';
import { Router } from '../router/router.js';
import { percentile } from './evaluation.js';
import { confusionTable } from './report.js';
import { type RoutedText, readRows, splitRows } from './rows.js';

const folder = mkdtempSync(join(tmpdir(), 'largeforge-router-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const lines = (rows: readonly RoutedText[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

const rows: RoutedText[] = ['jazz', 'rock', 'a song', 'my list', 'the radio'].flatMap((what) => [
  { text: `play ${what}`, expert: 'music' },
  { text: `turn up ${what}`, expert: 'music' },
  { text: `where is my parcel with ${what}`, expert: 'orders' },
  { text: `send back ${what} that i ordered`, expert: 'orders' },
  { text: `who invented ${what}`, expert: null },
  { text: `what does ${what} mean in latin`, expert: null },
]);

describe('rows', () => {
  test('are read line by line; empty lines and other fields are left alone', () => {
    const path = file('some.jsonl', '{"text":"a","expert":"x","id":1}\n\n{"text":"b","expert":null}\n');
    expect(readRows(path)).toEqual([
      { text: 'a', expert: 'x' },
      { text: 'b', expert: null },
    ]);
  });
  test.each([
    ['no JSON', '{"text":"a","expert":"x"}\n{oops\n', /bad\.jsonl:2: this is no JSON/],
    ['no text', '{"expert":"x"}\n', /bad\.jsonl:1: text: /],
    ['an expert that is no name', '{"text":"a","expert":3}\n', /bad\.jsonl:1: expert: /],
  ])('with %s are refused by line', (_, content, message) => {
    expect(() => readRows(file('bad.jsonl', content))).toThrow(message);
  });
  test('that are not there are an error that names the file', () => {
    expect(() => readRows(join(folder, 'missing.jsonl'))).toThrow(/missing\.jsonl cannot be read/);
  });
  test('are split by expert in the same proportion, equal texts together, one row moving no other', () => {
    const { train, validation } = splitRows([...rows, ...rows], 0.2);
    expect(train.length + validation.length).toBe(2 * rows.length);
    for (const expert of ['music', 'orders', null]) {
      expect(validation.filter((row) => row.expert === expert)).toHaveLength(4);
    }
    const texts = new Set(train.map(({ text }) => text));
    expect(validation.some(({ text }) => texts.has(text))).toBe(false);
    expect(
      splitRows([...rows].reverse(), 0.2)
        .validation.map(({ text }) => text)
        .sort(),
    ).toEqual([...new Set(validation.map(({ text }) => text))].sort());
  });
  test('an expert’s only text is learned', () => {
    expect(splitRows([{ text: 'a', expert: 'x' }], 0.5).validation).toEqual([]);
  });
});

test('a training writes a router that decides, and a report of it', async () => {
  await using kit = await testPlugin(plugin, {
    files: { 'rows.jsonl': lines(rows), 'test.jsonl': lines(rows.slice(0, 12)) },
  });
  const outputs = await kit.runStep({
    stage: 'train',
    use: 'router',
    with: { dataset: 'rows.jsonl', test: 'test.jsonl', outputDir: 'router', epochs: 8 },
  });
  const router = String(outputs.router);
  expect(outputs.inScopeAccuracy).toBeGreaterThan(0.7);

  const decide = new Router(loadRouter(router));
  const experts = [{ name: 'music' }, { name: 'orders' }];
  expect((await decide.decide('play some rock', { experts })).expert).toBe('music');
  expect((await decide.decide('where is my parcel', { experts })).expert).toBe('orders');
  const report = JSON.parse(readFileSync(join(router, 'report.json'), 'utf8'));
  expect(Object.keys(report.test)).toEqual(['keyword', 'neural', 'hybrid']);
  expect(report.test.hybrid.rows).toBe(12);
  expect(readFileSync(join(router, 'report.md'), 'utf8')).toContain('| hybrid | 12 |');
  expect(readFileSync(join(router, 'confusion.csv'), 'utf8')).toMatch(/^expert,music,orders,\(none\)\nmusic,/);

  await replayed(router);
  await refusesDamage(router);
});

async function replayed(router: string): Promise<void> {
  const output = new PassThrough();
  const noEncoder = async () => {
    throw new Error('no encoder is needed');
  };
  const replay = routeReplayCommand(noEncoder, output);
  const run = async (options: object) => {
    const context = { cwd: folder, signal: new AbortController().signal } as never;
    await replay.run({ options: { router, ...options }, positionals: [] }, context);
    const lines = String(output.read()).trim().split('\n');
    return lines.map((line) => JSON.parse(line));
  };
  const dataset = file('replay.jsonl', lines(rows));
  const printed = await run({ dataset, strategy: ['keyword', 'hybrid'] });
  expect(printed.map(({ strategy }) => strategy)).toEqual(['keyword', 'hybrid']);
  expect(printed[1]).toMatchObject({ rows: 30 });
  expect(printed[1].accuracy).toBeGreaterThan(0.7);
  expect(printed[1].p99_ms).toBeGreaterThanOrEqual(printed[1].p50_ms);

  // A log of a policy that tossed a coin: right answers score 1, so the hybrid policy scores its own accuracy.
  const inScope = rows.filter(({ expert }) => expert !== null);
  const logged = inScope.flatMap(({ text, expert }, i) => {
    const asked = i % 2 === 0 ? 'music' : 'orders';
    const score = Number(asked === expert);
    return [
      { type: 'decision', id: `d${i}`, text, expert: asked, milliseconds: 1, propensity: 0.5 },
      { type: 'feedback', decision_id: `d${i}`, score },
    ];
  });
  const [policy] = await run({ decisions: file('log.jsonl', lines(logged)), strategy: ['hybrid'] });
  expect(policy).toMatchObject({ strategy: 'hybrid', decisions: 20 });
  expect(policy.mean_score).toBeGreaterThan(0.8);
  const tossed = logged.filter(({ score }) => score === 1).length / 20;
  expect(policy.mean_score).toBeGreaterThan(tossed);
  const silent = logged.filter(({ type }) => type === 'decision');
  await expect(run({ decisions: file('silent.jsonl', lines(silent)), strategy: ['hybrid'] })).rejects.toThrow(
    'of 20 decisions 0 have a score and 20 their query',
  );
  await expect(run({ strategy: ['hybrid'] })).rejects.toMatchObject({ code: 'LF_ROUTER_REPLAY_ROWS' });
}

async function refusesDamage(router: string): Promise<void> {
  const settings = join(router, 'router.json');
  const whole = readFileSync(settings, 'utf8');
  const expectRefusal = (reason: RegExp) => {
    expect(() => loadRouter(router)).toThrow(reason);
    expect(() => loadRouter(router)).toThrow(/no trained router/);
  };
  writeFileSync(settings, whole.slice(0, 40));
  expectRefusal(/no JSON/);
  writeFileSync(settings, whole.replace('"version": 1', '"version": 2'));
  expectRefusal(/version/);
  writeFileSync(settings, JSON.stringify({ ...JSON.parse(whole), labels: ['a', 'b', 'c', 'd'] }));
  expectRefusal(/2 classes for 4 labels/);
  writeFileSync(settings, whole);
  writeFileSync(join(router, 'classifier.safetensors'), 'cut');
  expectRefusal(/too few for a header/);
}

test('rows of one expert alone are refused: there is nothing to tell apart', async () => {
  const one = lines([
    { text: 'a', expert: 'x' },
    { text: 'b', expert: 'x' },
  ]);
  await using kit = await testPlugin(plugin, { files: { 'rows.jsonl': one } });
  const step = { stage: 'train', use: 'router', with: { dataset: 'rows.jsonl', outputDir: 'out' } } as const;
  await expect(kit.runStep(step)).rejects.toThrow(/all name the expert "x"/);
});

test('names with commas and quotes survive in the confusion matrix', () => {
  const confusion = new Map([['a,"b"', new Map<string | null, number>([[null, 2]])]]);
  expect(confusionTable({ confusion })).toBe('expert,"a,""b""",(none)\n"a,""b""",0,2\n(none),0,0\n');
});

test('percentiles are values that occurred', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)]).toEqual([50, 99, 100]);
  expect(percentile([], 0.5)).toBeNaN();
});

test('the plugin is in order, its commands beside the global flags among others', async () => {
  expect(await checkPlugin(plugin)).toEqual([]);
});
