import { expect, test } from 'vitest';
import { seededRandom } from '../neural/linear-classifier.js';
import { AdaptiveThresholds } from './adaptive-thresholds.js';
import { estimatePolicy } from './off-policy.js';
import { ThompsonSampling } from './thompson-sampling.js';

const twins = ['a', 'b'].map((expert) => ({ expert, confidence: 0.6 }));
const quality = new Map([
  ['a', 0.4],
  ['b', 0.7],
]);

test('Thompson sampling finds the better of two experts, and its log tells what either alone would have scored', () => {
  const random = seededRandom(3);
  const bandit = new ThompsonSampling(random);
  const log: { expert: string; propensity: number; score: number }[] = [];
  for (let i = 0; i < 1500; i++) {
    const { chosen, propensity } = bandit.choose(twins);
    const score = Number(random() < quality.get(chosen.expert)!);
    bandit.learn(chosen.expert, score);
    log.push({ expert: chosen.expert, propensity, score });
  }
  const share = (rows: typeof log) => rows.filter(({ expert }) => expert === 'b').length / rows.length;
  expect(share(log.slice(0, 30))).toBeLessThan(0.95);
  expect(share(log.slice(-500))).toBeGreaterThan(0.95);
  const better = estimatePolicy(log, ({ expert }) => Number(expert === 'b'))!;
  expect(better.interval[0]).toBeLessThan(0.7);
  expect(better.interval[1]).toBeGreaterThan(0.7);
});

test('the propensity is the share of the choices', () => {
  const bandit = new ThompsonSampling(seededRandom(5));
  for (const score of [1, 0, 1, 1]) bandit.learn('a', score);
  let [chosen, expected] = [0, 0];
  for (let i = 0; i < 800; i++) {
    const { chosen: one, propensity } = bandit.choose(twins);
    expected += one.expert === 'a' ? propensity : 1 - propensity;
    chosen += Number(one.expert === 'a');
  }
  // Standard error of a share of 800 is at most 0.018.
  expect(Math.abs(chosen - expected) / 800).toBeLessThan(0.06);
});

test('confidence still counts: an unlikely expert needs to be much better', () => {
  const bandit = new ThompsonSampling(seededRandom(7));
  for (let i = 0; i < 200; i++) for (const [name, mean] of quality) bandit.learn(name, mean);
  const [first, second] = [
    { expert: 'a', confidence: 0.9 },
    { expert: 'b', confidence: 0.45 },
  ];
  expect(bandit.choose([first!, second!]).chosen.expert).toBe('a');
});

test('thresholds rise with bad answers and fall with missed ones, within their bounds', () => {
  const thresholds = new AdaptiveThresholds({ target: 0.7, rate: 0.1, bound: 0.15 });
  thresholds.answered('a', 0, 0.5, 0.4);
  expect(thresholds.offset('a')).toBeCloseTo(0.07);
  for (let i = 0; i < 10; i++) thresholds.answered('a', 0, 0.5, 0.4);
  expect(thresholds.offset('a')).toBe(0.15);
  thresholds.answered('b', 1, 0.5, 0.4);
  expect(thresholds.offset('b')).toBeCloseTo(-0.03);
  for (let i = 0; i < 10; i++) thresholds.missed('b');
  expect(thresholds.offset('b')).toBe(-0.15);
  // An answer that nobody doubted tells nothing of the threshold.
  thresholds.answered('c', 0, 0.99, 0.4);
  expect(thresholds.offset('c')).toBe(0);
});

test('answers near a threshold come to score the target', () => {
  const random = seededRandom(11);
  const thresholds = new AdaptiveThresholds({ target: 0.7, rate: 0.02, bound: 0.4 });
  const scores: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    // The higher the confidence, the better the answer: 0.7 of those at 0.6 are good.
    const confidence = random();
    const threshold = 0.3 + thresholds.offset('a');
    if (confidence < threshold || confidence > threshold + 0.05) continue;
    const score = Number(random() < confidence + 0.1);
    thresholds.answered('a', score, confidence, threshold);
    if (i > 10_000) scores.push(score);
  }
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  expect(mean).toBeGreaterThan(0.62);
  expect(mean).toBeLessThan(0.78);
});
