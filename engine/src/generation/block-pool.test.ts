import { describe, expect, it } from 'vitest';
import { BlockPool } from './block-pool.js';

describe('block pool', () => {
  it('gives all or nothing, and refuses to release twice', () => {
    const pool = new BlockPool(3);
    expect(pool.allocate(4)).toBeUndefined();
    expect(pool.available).toBe(3);
    const blocks = pool.allocate(3)!;
    expect(new Set(blocks)).toEqual(new Set([0, 1, 2]));
    pool.share(blocks[0]!);
    pool.release(blocks);
    expect(pool.used).toBe(1);
    pool.release([blocks[0]!]);
    expect(pool.used).toBe(0);
    expect(() => pool.release([blocks[0]!])).toThrow(/released twice/);
    expect(() => pool.share(blocks[0]!)).toThrow(/is free/);
  });

  it('takes blocks whose content nobody keeps first, then the kept ones, the longest unused first and ends before beginnings', () => {
    const kept = new Set<number>();
    const evicted: number[] = [];
    const pool = new BlockPool(6, {
      keeps: (block) => kept.has(block),
      evicted: (block) => {
        kept.delete(block);
        evicted.push(block);
      },
    });
    const first = pool.allocate(2)!;
    const second = pool.allocate(2)!;
    for (const block of [...first, ...second]) kept.add(block);
    pool.release(second);
    pool.release(first);
    expect(pool.available).toBe(6);
    // Used again: it is the most recent one now.
    pool.share(second[0]!);
    pool.release([second[0]!]);
    pool.allocate(2);
    expect(evicted).toEqual([]);
    pool.allocate(4);
    expect(evicted).toEqual([second[1], first[1], first[0], second[0]]);
  });
});
