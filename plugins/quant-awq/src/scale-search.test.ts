import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import { openDevice, Tensor } from '@largeforge/engine';
import { expect, it } from 'vitest';
import { searchScales } from './scale-search.js';

interface Golden {
  readonly inFeatures: number;
  readonly groupSize: number;
  readonly bits: number;
  readonly steps: number;
  readonly weights: number[][];
  readonly square: number[];
  readonly scales: number[];
  readonly gain: number;
}

/** What AutoAWQ's search finds for two small matrices: fixtures/make_awq.py. */
const golden: Golden = JSON.parse(
  readFileSync(fileURLToPath(new URL('../fixtures/awq.json', import.meta.url)), 'utf8'),
);

it('finds the scales of AutoAWQ, and what they gain', async () => {
  const { inFeatures: k, groupSize, bits, steps } = golden;
  using device = openDevice({ library: locateLibrary(), threads: 2 });
  const grid = { bits, groupSize, symmetric: false, scaleDType: 'f32', search: false } as const;
  const weights = golden.weights.map((values) => ({
    weight: Tensor.from(device, Float32Array.from(values), [values.length / k, k]),
    grid,
  }));
  using square = Tensor.from(device, Float32Array.from(golden.square), [k, k]);
  const place = { channels: k, channelOf: Int32Array.from({ length: k }, (_, i) => i) };
  const { scales, gain } = await searchScales(device, weights, square, place, steps);
  for (const { weight } of weights) weight.dispose();
  expect(gain).toBeCloseTo(golden.gain, 4);
  scales.forEach((scale, channel) => {
    expect(scale / golden.scales[channel]!).toBeCloseTo(1, 3);
  });
});
