import { describe, expect, it } from 'vitest';
import { targetsOf, tokenBatch } from './token-batch.js';

const row = (tokens: number[], mask: number[]) => ({ tokens: Int32Array.from(tokens), mask: Uint8Array.from(mask) });

describe('tokenBatch', () => {
  it('shifts labels inside each document and restarts positions', () => {
    const batch = tokenBatch([row([5, 6, 7], [0, 1, 1]), row([8, 9], [1, 1]), row([4], [1])]);
    expect([...batch.tokens]).toEqual([5, 6, 7, 8, 9, 4]);
    expect([...batch.positions]).toEqual([0, 1, 2, 0, 1, 0]);
    expect([...batch.cuSeqlens]).toEqual([0, 3, 5, 6]);
    expect(batch.maxSeqlen).toBe(3);
    // 8 and 4 are the first of their documents: no position predicts them, though their mask is set.
    expect([...batch.labels]).toEqual([6, 7, -100, 9, -100, -100]);
    expect(batch.targets).toBe(3);
  });

  it('counts the targets of a row as the batch does', () => {
    for (const one of [row([1, 2, 3], [1, 1, 1]), row([1, 2, 3], [1, 0, 0]), row([1], [1])]) {
      expect(targetsOf(one)).toBe(tokenBatch([one]).targets);
    }
  });
});
