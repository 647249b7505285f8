import { PhiloxStream } from '@largeforge/engine';
import { expect, it } from 'vitest';
import { ranked } from './ranked.js';

it.each([1, 2, 3, 17, 256, 1000])('finds the value of every rank among %i values, many of them equal', (length) => {
  const random = new PhiloxStream(length, 0);
  const values = Float32Array.from({ length }, () => random.below(length) / 8);
  const sorted = values.toSorted();
  for (let rank = 0; rank < length; rank++) expect(ranked(values.slice(), rank)).toBe(sorted[rank]);
});
