import { describe, expect, it } from 'vitest';
import { PhiloxStream, permutation, philoxBlock, streamOf } from './random.js';

describe('Philox4x32-10', () => {
  it('gives the known answers of Random123', () => {
    // kat_vectors of Random123, philox4x32 10 rounds; the fourth counter word is always 0 here.
    const out = new Uint32Array(4);
    philoxBlock(0, 0, 0, 0, out);
    expect([...out]).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  });

  it('agrees with 64-bit integer arithmetic on random counters', () => {
    const out = new Uint32Array(4);
    const random = new PhiloxStream(7, 1);
    for (let trial = 0; trial < 200; trial++) {
      const [low, high, stream] = [random.uint32(), random.uint32(), random.uint32()];
      const block = random.uint32() * 2 ** 20 + random.below(2 ** 20);
      philoxBlock(low, high, block, stream, out);
      expect([...out]).toEqual(referenceBlock(low, high, BigInt(block), stream));
    }
  });
});

describe('permutation', () => {
  it('holds every index once and depends on seed and stream alone', () => {
    const order = permutation(1000, 42, streamOf('shuffle', 3));
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(permutation(1000, 42, streamOf('shuffle', 3))).toEqual(order);
    expect(permutation(1000, 42, streamOf('shuffle', 4))).not.toEqual(order);
    expect(permutation(1000, 43, streamOf('shuffle', 3))).not.toEqual(order);
  });

  it('puts each element at each place about equally often', () => {
    const counts = Array.from({ length: 5 }, () => new Array<number>(5).fill(0));
    for (let seed = 0; seed < 5000; seed++) {
      permutation(5, seed, 0).forEach((value, place) => {
        (counts[value] as number[])[place] = ((counts[value] as number[])[place] ?? 0) + 1;
      });
    }
    // 1,000 expected in each cell, with a standard deviation of 28.
    for (const row of counts) for (const count of row) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});

function referenceBlock(low: number, high: number, block: bigint, stream: number): number[] {
  const mask = 0xffffffffn;
  let [c0, c1, c2, c3] = [block & mask, (block >> 32n) & mask, BigInt(stream), 0n];
  let [k0, k1] = [BigInt(low), BigInt(high)];
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [c0, c1, c2, c3].map(Number);
}
