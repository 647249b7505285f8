import { expect, test } from 'vitest';
import { defaultPool, either, fitPool, type OpinionRow, pool } from './pool.js';

const opinion = (entries: Record<string, number>) => new Map(Object.entries(entries));

test('opinions that agree make a surer one', () => {
  const pooled = pool(opinion({ a: 0.6, b: 0.2 }), opinion({ a: 0.6, b: 0.1 }));
  expect(pooled.get('a')).toBeGreaterThan(0.6);
});

test('where they disagree the surer one decides, with less confidence', () => {
  const pooled = pool(opinion({ a: 0.9, b: 0.05 }), opinion({ b: 0.5 }));
  expect(pooled.get('a')).toBeGreaterThan(pooled.get('b')!);
  expect(pooled.get('a')).toBeLessThan(0.9);
});

test('a silent strategy changes nothing', () => {
  expect(pool(opinion({ a: 0.4, b: 0.3 }), new Map())).toEqual(opinion({ a: 0.4, b: 0.3 }));
});

test('probabilities leave room for none of them', () => {
  const sum = [...pool(opinion({ a: 0.2, b: 0.1 }), opinion({ a: 0.3 })).values()].reduce((x, y) => x + y);
  expect(sum).toBeLessThan(1);
});

test('fitting trusts the opinion that is right', () => {
  const rows = Array.from({ length: 60 }, (_, i): OpinionRow => {
    const label = i % 2 ? 'a' : 'b';
    const noise = i % 3 ? 'a' : 'b';
    return { label, neural: opinion({ [noise]: 0.6 }), keyword: opinion({ [label]: 0.7 }) };
  });
  const weights = fitPool(rows);
  expect(weights.keyword).toBeGreaterThan(2);
  expect(weights.neural).toBeLessThan(0.5);
  expect(fitPool([])).toEqual(defaultPool);
});

test('before training either opinion is enough, and no sum exceeds 1', () => {
  expect(either(opinion({ a: 0 }), opinion({ a: 0.8 })).get('a')).toBeCloseTo(0.8);
  expect(either(opinion({ a: 0.5 }), opinion({ a: 0.5 })).get('a')).toBeCloseTo(0.75);
  const sum = [...either(opinion({ a: 0.9 }), opinion({ b: 0.8 })).values()].reduce((x, y) => x + y);
  expect(sum).toBeCloseTo(1);
});
