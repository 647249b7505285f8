import { describe, expect, it } from 'vitest';
import { type Bins, packBestFitDecreasing, unpackedBins } from './packing.js';
import { PhiloxStream } from './random.js';

const listed = (bins: Bins) =>
  Array.from({ length: bins.starts.length - 1 }, (_, bin) => [
    ...bins.rows.subarray(bins.starts[bin], bins.starts[bin + 1]),
  ]);

describe('packBestFitDecreasing', () => {
  it("fills the bins of TRL's pack_dataset, in its order", () => {
    // pack_dataset(dataset, 32, 'bfd', map_kwargs={'batch_size': 25}) of TRL 1.16 on rows of these lengths.
    const lengths = [
      14, 2, 6, 8, 11, 11, 8, 4, 8, 15, 5, 3, 5, 17, 4, 9, 4, 1, 5, 8, 3, 32, 8, 5, 6, 15, 6, 2, 12, 17, 2, 4, 24, 6, 7,
      6, 7, 3, 3, 25,
    ];
    expect(listed(packBestFitDecreasing(lengths, 32, { window: 25 }))).toEqual([
      [21],
      [13, 9],
      [0, 4, 2, 17],
      [5, 15, 3, 7],
      [6, 8, 19, 22],
      [24, 10, 12, 18, 23, 14, 1],
      [16, 11, 20],
      [39, 34],
      [32, 36],
      [29, 25],
      [28, 26, 33, 35, 27],
      [31, 37, 38, 30],
    ]);
  });

  it('packs every row once and never beyond the capacity', () => {
    const random = new PhiloxStream(3, 0);
    for (const capacity of [1, 2, 3, 100, 129]) {
      const lengths = Array.from({ length: 500 }, () => 1 + random.below(capacity));
      const bins = listed(packBestFitDecreasing(lengths, capacity, { window: 128 }));
      expect(bins.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, row) => row));
      for (const bin of bins)
        expect(bin.reduce((sum, row) => sum + (lengths[row] as number), 0)).toBeLessThanOrEqual(capacity);
    }
  });

  it('packs chosen rows alone', () => {
    expect(listed(packBestFitDecreasing([4, 9, 6, 3], 10, { rows: [3, 0, 2] }))).toEqual([[2, 0], [3]]);
  });

  it('refuses a row that cannot fit', () => {
    expect(() => packBestFitDecreasing([4, 11], 10)).toThrow('row 1 has 11 tokens');
    expect(() => packBestFitDecreasing([0], 10)).toThrow('row 0 has 0 tokens');
  });
});

describe('unpackedBins', () => {
  it('is one row a bin', () => {
    expect(listed(unpackedBins([2, 0, 5]))).toEqual([[2], [0], [5]]);
  });
});
