import { describe, expect, it } from 'vitest';
import { BatchSampler, splitRows } from './sampler.js';

const listed = (batches: Uint32Array[]) => batches.map((batch) => [...batch]);

describe('BatchSampler', () => {
  it('walks the rows in order, never across an epoch', () => {
    const sampler = new BatchSampler({ length: 7, batchSize: 2, accumulation: 3, order: 'sequential', seed: 0 });
    expect(sampler.stepsPerEpoch).toBe(2);
    expect(listed(sampler.batches(0))).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect(listed(sampler.batches(1))).toEqual([[6]]);
    expect(listed(sampler.batches(2))).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect([0, 1, 2, 3].map((steps) => sampler.cursor(steps))).toEqual([
      { epoch: 0, position: 0 },
      { epoch: 0, position: 6 },
      { epoch: 1, position: 0 },
      { epoch: 1, position: 6 },
    ]);
  });

  it('shows every row once an epoch, in another order each time', () => {
    const options = { length: 100, batchSize: 8, accumulation: 2, order: 'shuffle', seed: 11 } as const;
    const sampler = new BatchSampler(options);
    const epoch = (number: number) =>
      Array.from({ length: sampler.stepsPerEpoch }, (_, step) => sampler.batches(number * sampler.stepsPerEpoch + step))
        .flatMap(listed)
        .flat();
    const [first, second] = [epoch(0), epoch(1)];
    expect(new Set(first).size).toBe(100);
    expect(new Set(second).size).toBe(100);
    expect(second).not.toEqual(first);
    // Asking for a step out of the blue gives the same as walking to it.
    expect(listed(new BatchSampler(options).batches(sampler.stepsPerEpoch + 3))).toEqual(
      listed(sampler.batches(sampler.stepsPerEpoch + 3)),
    );
    expect(listed(new BatchSampler({ ...options, seed: 12 }).batches(0))).not.toEqual(listed(sampler.batches(0)));
  });
});

describe('splitRows', () => {
  it('holds out a share or a count, without overlap', () => {
    const { training, heldOut } = splitRows(50, 0.1, 3);
    expect(heldOut.length).toBe(5);
    expect([...training, ...heldOut].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(splitRows(50, 0.1, 3)).toEqual({ training, heldOut });
    expect(splitRows(50, 7, 3).heldOut.length).toBe(7);
    expect(splitRows(3, 0.01, 3).heldOut.length).toBe(1);
  });
});
