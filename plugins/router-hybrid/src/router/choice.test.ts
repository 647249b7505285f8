import { describe, expect, test } from 'vitest';
import { type ChoiceInput, chooseExpert } from './choice.js';
import type { ExpertLoad } from './expert.js';

const scores = [
  { expert: 'a', confidence: 0.62 },
  { expert: 'b', confidence: 0.6 },
  { expert: 'c', confidence: 0.1 },
];
const choose = (input: Partial<ChoiceInput> = {}) => chooseExpert(scores, { threshold: () => 0.5, ...input });

test('the most likely expert', () => expect(choose()).toEqual({ expert: 'a', confidence: 0.62, reason: 'best' }));
test('nobody below the threshold', () => {
  expect(choose({ threshold: () => 0.7 })).toEqual({ expert: null, confidence: 0.62, reason: 'out-of-scope' });
});
test('an expert with a threshold of its own may be chosen behind one that misses its own', () => {
  expect(choose({ threshold: (name) => (name === 'a' ? 0.9 : 0.5) })).toMatchObject({ expert: 'b' });
});

describe('load', () => {
  const loads = (experts: Readonly<Record<string, ExpertLoad>>) => (name: string) => experts[name];
  const load = (a: number, b: number, c = 0) => loads({ a: { load: a }, b: { load: b }, c: { load: c } });
  test('decides among those that are nearly as likely', () => {
    expect(choose({ load: load(0.9, 0.1) })).toMatchObject({ expert: 'b', reason: 'load' });
    expect(choose({ load: load(0.1, 0.9) })).toMatchObject({ expert: 'a', reason: 'best' });
  });
  test('sends nobody to an expert that is unlikely, however idle', () => {
    expect(choose({ load: load(1, 0.9, 0) })).toMatchObject({ expert: 'b' });
  });
  test('equal load goes by latency, if it differs by a fifth', () => {
    const at = (a: number, b: number) => loads({ a: { load: 0, latencyMs: a }, b: { load: 0, latencyMs: b } });
    expect(choose({ load: at(100, 70) })).toMatchObject({ expert: 'b' });
    expect(choose({ load: at(100, 90) })).toMatchObject({ expert: 'a' });
  });
  test('an expert that is clearly slower gets fewer, even while the other has more to do', () => {
    const at = (a: number, b: number) =>
      loads({
        a: { load: 0.1, next: 0.2, latencyMs: a },
        b: { load: 0.2, next: 0.3, latencyMs: b },
      });
    expect(choose({ load: at(500, 100) })).toMatchObject({ expert: 'b', reason: 'load' });
    expect(choose({ load: at(100, 100) })).toMatchObject({ expert: 'a' });
  });
  test('one whose time is not known yet is tried', () => {
    expect(choose({ load: loads({ a: { load: 0, latencyMs: 5 }, b: { load: 0 } }) })).toMatchObject({ expert: 'b' });
  });
  test('and latency being equal, the cheaper one is asked', () => {
    const at = (a: number, b: number) => loads({ a: { load: 0, cost: a }, b: { load: 0, cost: b } });
    expect(choose({ load: at(2, 1) })).toMatchObject({ expert: 'b' });
    expect(choose({ load: at(1, 2) })).toMatchObject({ expert: 'a' });
  });
  test('copies of one expert take turns; an expert that is a little less likely does not', () => {
    const turns = loads({ a: { load: 0, lastAsked: 2 }, b: { load: 0, lastAsked: 1 } });
    const copies = scores.map((score) => ({ ...score, confidence: 0.6 }));
    expect(chooseExpert(copies, { threshold: () => 0.5, load: turns })).toMatchObject({ expert: 'c' });
    expect(choose({ load: turns })).toMatchObject({ expert: 'a' });
  });
});

describe('a wish', () => {
  test('is granted where little speaks against it', () => {
    expect(choose({ prefer: 'b' })).toMatchObject({ expert: 'b', reason: 'preferred' });
  });
  test('is granted below the threshold too', () => {
    expect(choose({ prefer: 'b', threshold: () => 0.9 })).toMatchObject({ expert: 'b' });
  });
  test('is not granted against a much surer expert', () =>
    expect(choose({ prefer: 'c' })).toMatchObject({ expert: 'a' }));
  test('for an expert that is not there is ignored', () =>
    expect(choose({ prefer: 'x' })).toMatchObject({ expert: 'a' }));
});

test('a conversation stays where it is unless another expert is much likelier', () => {
  expect(choose({ sticky: 'b' })).toMatchObject({ expert: 'b', reason: 'sticky' });
  expect(choose({ sticky: 'c' })).toMatchObject({ expert: 'a' });
});
