import { describe, expect, it } from 'vitest';
import { loopOptions } from './loop-options.js';
import { checkTrainerOptions, trainerOptions } from './options.js';

const rates = { adapter: 5e-6, full: 1e-6 };
const given = { model: 'm', dataset: 'rows.jsonl' };

describe('the learning rate', () => {
  it.each([
    ['an adapter', {}, 5e-6],
    ['every weight', { full: true }, 1e-6],
    ['a rate of the config', { full: true, learningRate: 3e-4 }, 3e-4],
  ])("is the method's own unless it is given: %s", (_, options, expected) => {
    const parsed = trainerOptions.parse({ ...given, ...options });
    expect(loopOptions(parsed, rates).optimizer.learningRate).toBe(expected);
  });
});

describe('the options of a trainer', () => {
  const schema = trainerOptions.superRefine(checkTrainerOptions);

  it.each([
    [{ full: true, adapter: 'a' }, 'full'],
    [{ evalSplit: 0.1, evalDataset: 'held.jsonl' }, 'evalSplit'],
    [{ keepBest: true }, 'keepBest'],
    [{ pruning: { sparsity: 0.5 } }, 'pruning'],
    [{ patience: 2 }, 'patience'],
    [{ scheduler: 'list' }, 'points'],
    [{ full: true, frozenWeights: 'nf4' }, 'frozenWeights'],
    [{ full: true, loraPlusRatio: 16 }, 'loraPlusRatio'],
  ])('are refused when they contradict each other: %o', (options, key) => {
    const { error } = schema.safeParse({ ...given, ...options });
    expect(error?.issues.map((issue) => issue.path)).toEqual([[key]]);
  });

  it('pack into bins of maxLength tokens when packing is on', () => {
    expect(loopOptions(schema.parse({ ...given, packing: true, maxLength: 64 }), rates).packing).toBe(64);
    expect(loopOptions(schema.parse({ ...given, maxLength: 64 }), rates).packing).toBeUndefined();
  });
});
