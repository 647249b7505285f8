import { memoryRows, type TokenRow } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { drawStages, joinedDomains, startsOf } from './mixture.js';
import { rowsOfRun } from './stages.js';

/** Rows of a domain; every token is the row's number. */
function domain(name: string, lengths: readonly number[]) {
  const rows = lengths.map((length, i): TokenRow => {
    return { tokens: new Int32Array(length).fill(i), mask: new Uint8Array(length).fill(1) };
  });
  return { name, rows: memoryRows(rows, ({ tokens }) => tokens.length, name) };
}

const large = domain(
  'large',
  Array.from({ length: 100 }, (_, i) => 5 + (i % 7)),
);
const small = domain('small', [3, 3, 3, 3]);
const domains = [large, small];
const joined = joinedDomains(domains);
const starts = startsOf(domains);
const tokensOf = (rows: Iterable<number>, from: number, to: number) => {
  let sum = 0;
  for (const row of rows) if (row >= from && row < to) sum += joined.lengths[row] as number;
  return sum;
};

describe('joined domains', () => {
  it('give the rows of each, in the order asked for', async () => {
    const rows = await joined.read([102, 7, 100, 8]);
    expect(rows.map((row) => [row.domain, row.tokens[0]])).toEqual([
      [1, 2],
      [0, 7],
      [1, 0],
      [0, 8],
    ]);
    expect(joined.lengths.length).toBe(104);
  });
});

describe('a drawn mixture', () => {
  it('has the shares of tokens that the weights say, the small domain again and again', () => {
    const rows = drawStages([{ tokens: 1000, shares: [0.7, 0.3] }], joined.lengths, starts, 1);
    expect(tokensOf(rows, 0, 100)).toBeGreaterThanOrEqual(700);
    expect(tokensOf(rows, 0, 100)).toBeLessThan(711);
    expect(tokensOf(rows, 100, 104)).toBe(300);
    const times = [100, 101, 102, 103].map((row) => rows.filter((drawn) => drawn === row).length);
    expect(times).toEqual([25, 25, 25, 25]);
    expect(new Set(rows.filter((row) => row < 100)).size).toBe(rows.filter((row) => row < 100).length);
  });

  it('is the same for a seed, and mixed', () => {
    const stage = { tokens: 600, shares: [0.5, 0.5] };
    const draw = (seed: number) => drawStages([stage], joined.lengths, starts, seed);
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    const firstHalf = draw(1).subarray(0, 60);
    expect(firstHalf.some((row) => row < 100)).toBe(true);
    expect(firstHalf.some((row) => row >= 100)).toBe(true);
  });

  it('goes on in the next stage where it stood', () => {
    const stages = [
      { tokens: 300, shares: [1, 0] },
      { tokens: 300, shares: [0.5, 0.5] },
    ];
    const rows = drawStages(stages, joined.lengths, starts, 1);
    const ofLarge = rows.filter((row) => row < 100);
    expect(new Set(ofLarge).size).toBe(ofLarge.length);
    const first = drawStages(stages.slice(0, 1), joined.lengths, starts, 1);
    expect(rows.subarray(0, first.length)).toEqual(first);
    expect(first.every((row) => row < 100)).toBe(true);
  });
});

describe('the rows of a run', () => {
  const options = { domains: [{ name: 'large' }, { name: 'small' }], curriculum: 'none', epochs: 1, seed: 3 } as never;

  it('are every document once where there are no weights', () => {
    const rows = rowsOfRun(options, joined, starts);
    expect([...rows].sort((a, b) => a - b)).toEqual(Array.from({ length: 104 }, (_, i) => i));
  });

  it('are one pass over the first domain, the others at their weights', () => {
    const weighed = [
      { name: 'large', weight: 3 },
      { name: 'small', weight: 1 },
    ];
    const rows = rowsOfRun({ ...(options as object), domains: weighed } as never, joined, starts);
    const large = rows.filter((row) => row < 100);
    expect([...large].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(tokensOf(rows, 100, 104) / tokensOf(rows, 0, 104)).toBeCloseTo(0.25, 1);
  });

  it('begin with short documents when lengths are the curriculum', () => {
    const rows = rowsOfRun({ ...(options as object), curriculum: 'length' } as never, joined, starts);
    const lengths = [...rows].map((row) => joined.lengths[row] as number);
    expect(lengths).toEqual([...lengths].sort((a, b) => a - b));
  });

  it('begin with easy documents when scores are the curriculum', () => {
    const scores = Float64Array.from(joined.lengths, (_, row) => (row * 37) % 104);
    const rows = rowsOfRun({ ...(options as object), curriculum: 'score' } as never, joined, starts, scores);
    expect([...rows].map((row) => scores[row])).toEqual(Array.from({ length: 104 }, (_, i) => i));
  });

  it('put the tasks of a mixture into each batch', () => {
    const weighed = [
      { name: 'large', weight: 1 },
      { name: 'small', weight: 1 },
    ];
    const rows = rowsOfRun({ ...(options as object), domains: weighed } as never, joined, starts);
    const batches = Array.from({ length: Math.floor(rows.length / 16) }, (_, b) => rows.subarray(16 * b, 16 * b + 16));
    for (const batch of batches) {
      expect(batch.some((row) => row < 100)).toBe(true);
      expect(batch.some((row) => row >= 100)).toBe(true);
    }
  });
});
