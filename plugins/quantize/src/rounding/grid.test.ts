import { readFileSync } from 'node:fs';
import { locateLibrary } from '@largeforge/backend-cpu';
import { commands, type Device, dequantize, openDevice, type QuantizedWeight, scope, Tensor } from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emptyCodes, roundToNearest, searchOf, weightOf } from './grid.js';

interface Golden {
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly groupSize: number;
  readonly weight: number[];
  readonly importance: number[];
  /** compressed-tensors. */
  readonly nearest: { bits: number; symmetric: boolean; scales: number[]; zeros: number[]; codes: number[] }[];
  /** AutoAWQ's search: the weighted squared error that is left of each group. */
  readonly clipped: { bits: number; errors: number[] }[];
}

/** fixtures/make_rounding.py */
const golden: Golden = JSON.parse(readFileSync(new URL('../../fixtures/rounding.json', import.meta.url), 'utf8'));
const { outFeatures: n, inFeatures: k, groupSize } = golden;
let device: Device;
let weight: Tensor;
let importance: Tensor;

beforeAll(() => {
  device = openDevice({ library: locateLibrary(), threads: 2 });
  weight = Tensor.from(device, golden.weight, [n, k], 'f32', 'persistent');
  importance = Tensor.from(device, golden.importance, [k], 'f32', 'persistent');
});
afterAll(() => device[Symbol.dispose]());

describe('rounding to the nearest code', () => {
  it.each(golden.nearest)(
    'has the scales, zero points and codes of compressed-tensors: $bits bits, symmetric $symmetric',
    async ({ bits, symmetric, scales, zeros, codes }) => {
      const found = await roundToNearest(weight, { bits, symmetric, groupSize, scaleDType: 'f32', search: false });
      found.scales.forEach((scale, i) => {
        expect(scale / scales[i]!).toBeCloseTo(1, 6);
      });
      expect([...found.zeros]).toEqual(zeros);
      // The largest magnitude of a group lies half a step beyond the last code, where a last bit decides.
      const values = [...found.codes].filter((code, i) => {
        if (code === codes[i]) return false;
        const group = Math.floor(i / groupSize);
        const place = golden.weight[i]! / found.scales[group]! + found.zeros[group]!;
        return Math.abs(place - (code + codes[i]!) / 2) > 1e-4 || Math.abs(code - codes[i]!) > 1;
      });
      expect(values).toEqual([]);
    },
  );

  it.each(golden.clipped)(
    'clips groups as AutoAWQ does, and refits lose less: $bits bits',
    async ({ bits, ...own }) => {
      const options = { bits, symmetric: true, groupSize, scaleDType: 'f32', search: true } as const;
      using out = emptyCodes(device, n, k, k / groupSize);
      scope(() => {
        const { codes, scales, zeros } = out;
        const grid = { ...searchOf(options), refits: 0 };
        commands.quantizeGroups(device.recorder, grid, { w: weight, importance, codes, scales, zeros });
      });
      const errorsOf = (weight: QuantizedWeight) => {
        const errors = new Float64Array(own.errors.length);
        dequantize(weight).forEach((value, i) => {
          errors[Math.floor(i / groupSize)]! += golden.importance[i % k]! * (value - golden.weight[i]!) ** 2;
        });
        return errors;
      };
      // AutoAWQ cuts values to half a step beyond the last code before it rounds them, where a last bit decides.
      const ratios = Array.from(errorsOf(await weightOf(out, bits)), (error, i) => error / own.errors[i]!);
      expect(Math.max(...ratios)).toBeLessThan(1 + 1e-4);
      expect(Math.min(...ratios)).toBeGreaterThan(0.98);
      expect(ratios.filter((ratio) => Math.abs(ratio - 1) > 1e-4).length).toBeLessThan(ratios.length / 10);
      const errors = errorsOf(await roundToNearest(weight, options, importance));
      errors.forEach((error, i) => {
        expect(error).toBeLessThan(own.errors[i]! * (1 + 1e-4));
      });
      const sum = (list: Iterable<number>) => [...list].reduce((a, b) => a + b, 0);
      expect(sum(errors)).toBeLessThan(0.99 * sum(own.errors));
    },
  );
});
