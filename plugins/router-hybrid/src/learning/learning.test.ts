import { appendFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { routeReportCommand } from '../commands/route-report.js';
import { seededRandom } from '../neural/linear-classifier.js';
import { AdaptiveThresholds } from './adaptive-thresholds.js';
import { armOf, compare, figuresOf } from './experiment.js';
import { learnFromLog } from './lessons.js';
import { readDecisions } from './log-report.js';
import { estimatePolicy } from './off-policy.js';

describe('an experiment', () => {
  const arms = [
    { name: 'a', share: 0.2 },
    { name: 'b', share: 0.8 },
  ];
  test('gives each unit the same arm every time, and arms their shares', () => {
    const units = Array.from({ length: 5000 }, (_, i) => `user ${i}`);
    const first = units.map((unit) => armOf('x', unit, arms));
    expect(units.map((unit) => armOf('x', unit, arms))).toEqual(first);
    expect(first.filter((arm) => arm === 'a').length / 5000).toBeCloseTo(0.2, 1);
  });
  test('splits the same units differently than another', () => {
    const units = Array.from({ length: 1000 }, (_, i) => `user ${i}`);
    const same = units.filter((unit) => armOf('x', unit, arms) === armOf('y', unit, arms)).length;
    // Independent splits agree on 0.2² + 0.8² of the units.
    expect(same / 1000).toBeGreaterThan(0.62);
    expect(same / 1000).toBeLessThan(0.74);
  });
  test('compares means as statistics books do', () => {
    // z = 0.1 / sqrt(2 * 0.25 / 200) = 2: p = 0.0455
    const { difference, pValue, interval } = compare(
      { count: 200, mean: 0.5, variance: 0.25 },
      { count: 200, mean: 0.6, variance: 0.25 },
    );
    expect(difference).toBeCloseTo(0.1);
    expect(pValue).toBeCloseTo(0.0455, 4);
    expect(interval[0]).toBeCloseTo(0.002);
    const equal = figuresOf([0, 1, 0, 1]);
    expect(compare(equal, equal).pValue).toBeCloseTo(1, 5);
  });
});

test('what was learned is learned again from the log, as it was said', () => {
  const decision = { type: 'decision', milliseconds: 1, confidence: 0.5, threshold: 0.4, propensity: 1 } as const;
  const log = [
    { ...decision, id: '1', expert: 'a', score: 1 },
    // Another should have answered: whatever the score, that was no good answer of a.
    { ...decision, id: '2', expert: 'a', score: 1, meant: 'b' },
    // The default expert stood in for b, which is not its doing.
    { ...decision, id: '3', expert: 'general', reason: 'out-of-scope', score: 0, meant: 'b' },
    { ...decision, id: '4', expert: 'a' },
  ];
  const learned: [string, number][] = [];
  const adaptive = new AdaptiveThresholds({ target: 0.7, rate: 0.1, bound: 0.5 });
  const bandit = { learn: (expert: string, score: number) => learned.push([expert, score]) } as never;
  learnFromLog(log, { bandit, adaptive });
  expect(learned).toEqual([
    ['a', 1],
    ['a', 0],
  ]);
  expect(adaptive.offset('a')).toBeCloseTo(0.1 * (0.7 - 1) + 0.1 * 0.7);
  expect(adaptive.offset('b')).toBeCloseTo(-0.07);
  expect(adaptive.offset('general')).toBe(0);
});

describe('an off-policy estimate', () => {
  const random = seededRandom(11);
  const quality: Record<string, number> = { good: 0.8, bad: 0.3 };
  const log = Array.from({ length: 20_000 }, () => {
    const expert = random() < 0.1 ? 'good' : 'bad';
    return { expert, propensity: expert === 'good' ? 0.1 : 0.9, score: Number(random() < quality[expert]!) };
  });
  test('finds the value of policies that were never run', () => {
    const good = estimatePolicy(log, ({ expert }) => Number(expert === 'good'))!;
    expect(good.value).toBeCloseTo(0.8, 1);
    expect(good.interval[0]).toBeLessThan(0.8);
    expect(good.interval[1]).toBeGreaterThan(0.8);
    const mixed = estimatePolicy(log, () => 0.5)!;
    expect(mixed.value).toBeCloseTo(0.55, 1);
  });
  test('says how little it rests on', () => {
    const good = estimatePolicy(log, ({ expert }) => Number(expert === 'good'))!;
    expect(good.effectiveDecisions).toBeCloseTo(log.filter(({ expert }) => expert === 'good').length, 0);
    expect(estimatePolicy(log, () => 0)).toBeUndefined();
  });
});

describe('route report', () => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-log-'));
  const file = (name: string, entries: readonly object[]) => {
    const path = join(folder, name);
    writeFileSync(path, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    return path;
  };
  const decision = (id: number, arm: string) => ({
    type: 'decision',
    id: `d${id}`,
    expert: id % 2 ? 'music' : null,
    milliseconds: id,
    arm,
    propensity: 0.9,
    greedy: 'music',
  });
  test('joins decisions with their last feedback', () => {
    const log = file('joined.jsonl', [
      decision(1, 'a'),
      { type: 'feedback', decision_id: 'd1', score: 0 },
      { type: 'feedback', decision_id: 'd1', score: 1 },
      decision(2, 'a'),
    ]);
    expect(readDecisions(log).map(({ score }) => score)).toEqual([1, undefined]);
  });
  test('leaves out a last line that a crash cut', () => {
    const log = file('cut.jsonl', [decision(1, 'a')]);
    appendFileSync(log, '{"type":"decision","id":"d2","exp');
    expect(readDecisions(log).map(({ id }) => id)).toEqual(['d1']);
  });
  test('prints a line for each expert, arm and comparison', async () => {
    const entries = Array.from({ length: 40 }, (_, i) => [
      decision(i, i < 20 ? 'a' : 'b'),
      { type: 'feedback', decision_id: `d${i}`, score: i < 20 ? (i % 4) / 4 : 0.5 + (i % 4) / 8 },
    ]).flat();
    const output = new PassThrough();
    const args = { options: { decisions: file('arms.jsonl', entries) }, positionals: [] };
    await routeReportCommand(output).run(args, { cwd: folder } as never);
    const lines = String(output.read())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual({ expert: 'music', decisions: 20, scored: 20, mean_score: 0.625, p99_ms: 39 });
    expect(lines).toContainEqual({ arm: 'b', decisions: 20, scored: 20, mean_score: 0.6875, p99_ms: 39 });
    const comparison = lines.find(({ difference }) => difference !== undefined);
    expect(comparison).toMatchObject({ arm: 'b', difference: 0.3125 });
    expect(comparison.p_value).toBeLessThan(0.01);
    expect(lines.at(-1)).toMatchObject({ policy: 'without exploration', mean_score: 0.625 });
  });
  test('names the line that is none', () => {
    const path = join(folder, 'bad.jsonl');
    writeFileSync(path, `${JSON.stringify(decision(1, 'a'))}\n{"type":"other"}\n`);
    expect(() => readDecisions(path)).toThrow(/bad\.jsonl:2/);
    expect(() => readDecisions(join(folder, 'none.jsonl'))).toThrow(/none\.jsonl cannot be read/);
  });
});
