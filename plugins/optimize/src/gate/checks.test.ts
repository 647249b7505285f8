import { describe, expect, it } from 'vitest';
import { gateChecks } from './checks.js';
import type { Comparison } from './compare.js';
import { gateOptions } from './options.js';

const comparison: Comparison = {
  windows: 4,
  positions: 400,
  basePerplexity: 20,
  perplexity: 22,
  perplexityRatio: 1.1,
  perplexityRatio95: [1.05, 1.15],
  kl: 0.05,
  top1: 0.9,
  logitDifference: 0.1,
  drift: [],
};
const failures = (options: object, changed: Partial<Comparison> = {}, after = 0.3) =>
  gateChecks(
    { ...comparison, ...changed },
    [{ task: 'arc_easy', metric: 'acc', documents: 100, before: 0.5, after }],
    gateOptions.parse(options),
  ).flatMap(({ failure }) => failure ?? []);

describe('a gate', () => {
  it('lets pass what stays within its limits, and checks nothing that was not asked for', () => {
    expect(failures({})).toEqual([]);
    expect(failures({ maxPerplexityRatio: 1.1, maxKl: 0.05, minTop1: 0.9 })).toEqual([]);
    expect(failures({ tasks: { names: ['arc_easy'], maxDrop: 0.2, failUnder: { arc_easy: 0.3 } } })).toEqual([]);
  });

  it('says by how much each limit is missed', () => {
    expect(failures({ maxPerplexityRatio: 1.05, maxKl: 0.01, minTop1: 0.95 })).toEqual([
      'perplexity rose by a factor of 1.1000, more than 1.05',
      'KL divergence 0.0500 is above 0.01',
      'the most likely token stayed the same at 90.0 % of positions, below 95 %',
    ]);
    expect(failures({ tasks: { names: ['arc_easy'], maxDrop: 0.1, failUnder: { arc_easy: 0.4 } } })).toEqual([
      'acc of arc_easy fell from 50.0 % to 30.0 %, by more than 10.0 %',
      'acc of arc_easy is 30.0 %, below 40.0 %',
    ]);
  });

  it('fails what is no number, whatever was asked for', () => {
    const broken = { perplexity: Number.NaN, perplexityRatio: Number.NaN, kl: Number.NaN, top1: Number.NaN };
    expect(failures({}, broken)).toEqual(['its perplexity is no finite number']);
    expect(failures({ maxPerplexityRatio: 2, maxKl: 1, minTop1: 0 }, broken)).toHaveLength(4);
    const after = { tasks: { names: ['arc_easy'], maxDrop: 0.5 } };
    expect(failures(after, {}, Number.NaN)).toHaveLength(1);
  });
});
