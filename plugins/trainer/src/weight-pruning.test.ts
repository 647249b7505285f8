import { describe, expect, it } from 'vitest';
import { largestMask, pruningOptions, scheduledSparsity } from './weight-pruning.js';

describe('the schedule of pruning', () => {
  it('is cubic (Zhu and Gupta 2017, To prune, or not to prune, equation 1)', () => {
    // From 0.1 to 0.8 between steps 100 and 500, worked out by hand at steps 0, 100, 200, 300, 499, 500, 1000.
    const options = pruningOptions.parse({ sparsity: 0.8, initialSparsity: 0.1, beginRatio: 0.1, endRatio: 0.5 });
    const at = (step: number) => scheduledSparsity(options, step, 1000);
    expect(at(0)).toBeUndefined();
    const expected = [
      [100, 0.1],
      [200, 0.5046875],
      [300, 0.7125],
      [499, 0.7999999890625],
      [500, 0.8],
      [1000, 0.8],
    ];
    for (const [step, sparsity] of expected) expect(at(step!)).toBeCloseTo(sparsity!, 9);
  });

  it('prunes at once where it has no length', () => {
    expect(scheduledSparsity(pruningOptions.parse({ sparsity: 0.5, endRatio: 0 }), 0, 10)).toBe(0.5);
  });
});

describe('the mask of the largest weights', () => {
  it('leaves out just the share, also among equals, and zeros first', () => {
    expect([...largestMask(Float32Array.of(3, -1, 0, 2), 0.5)]).toEqual([1, 0, 0, 1]);
    expect([...largestMask(Float32Array.of(1, 1, -1, 1), 0.5)]).toEqual([0, 0, 1, 1]);
    expect([...largestMask(Float32Array.of(1, 2), 0)]).toEqual([1, 1]);
  });
});
