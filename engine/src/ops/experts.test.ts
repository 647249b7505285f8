import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as commands from '../device/commands/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { Parameter } from '../nn/parameter.js';
import { Tensor } from '../tensor/tensor.js';
import { groupedLinear, route } from './experts.js';

/** The plainest kernels and the best that run here. */
describe.each([['portable'], [undefined]])('with the kernels %s', (isa) => {
  let device: Device;
  beforeAll(() => {
    device = cpuDevice({ isa });
  });
  afterAll(() => device.close());

  describe('routing', () => {
    const logits = [
      [1, 3, 2, 0],
      [5, 5, 5, 5],
      [-1, -9, 4, 3.5],
    ];
    const routed = async (normalize: boolean, values = logits) => {
      using x = Tensor.from(device, values.flat(), [values.length, 4]);
      const { rows, offsets, weights } = route(x, { topK: 2, normalize });
      return { rows: [...(await rows.ints())], offsets: [...(await offsets.ints())], weights: await weights.floats() };
    };
    const softmax = (row: number[]) => {
      const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
      return row.map((value) => Math.exp(value) / total);
    };

    test('takes the largest, the first of equals, and orders pairs by expert and token', async () => {
      const { rows, offsets, weights } = await routed(false);
      expect(rows).toEqual([1, 0, 1, 0, 2, 2]);
      expect(offsets).toEqual([0, 1, 3, 5, 6]);
      const [first, second, third] = logits.map(softmax);
      [second![0], first![1], second![1], first![2], third![2], third![3]].forEach((weight, i) => {
        expect(weights[i]).toBeCloseTo(weight!, 6);
      });
    });

    test('divides the weights of a token by their sum', async () => {
      const { weights } = await routed(true);
      expect(weights[0]).toBeCloseTo(0.5, 6);
      expect(weights[1]! + weights[3]!).toBeCloseTo(1, 6);
      expect(weights[4]! / weights[5]!).toBeCloseTo(Math.exp(0.5), 5);
    });

    test('gives every token its number of experts, whatever its logits are', async () => {
      const { rows, offsets } = await routed(false, [[Number.NaN, 1, 2, 3]]);
      expect(rows).toEqual([0, 0]);
      expect(offsets).toEqual([0, 1, 2, 2, 2]);
    });

    test('more experts than there are is refused', async () => {
      using x = Tensor.from(device, [1, 2], [1, 2]);
      route(x, { topK: 3, normalize: false });
      await expect(device.flush()).rejects.toThrow(/ROUTE: 3 experts cannot be chosen of the 2 that probs has/);
    });
  });

  describe('products by group', () => {
    const [rows, n, k] = [70, 9, 13];
    const ends = [0, 33, 33, 34, rows];
    const value = (i: number) => Math.sin(i * 1.7);
    const x = Array.from({ length: rows * k }, (_, i) => value(i));
    const w = Array.from({ length: 4 * n * k }, (_, i) => value(i + 5000));
    const groupOf = (row: number) => ends.findIndex((_, e) => row < ends[e + 1]!);
    const at = (row: number, column: number) => {
      const base = (groupOf(row) * n + column) * k;
      return Array.from({ length: k }, (_, i) => x[row * k + i]! * w[base + i]!).reduce((a, b) => a + b, 0);
    };

    test.each([
      ['f32', 1e-5],
      ['bf16', 0.05],
    ] as const)('are those of each group alone in %s, of many rows, of one and of none', async (dtype, tolerance) => {
      using input = Tensor.from(device, x, [rows, k], dtype);
      using weight = Parameter.of(Tensor.from(device, w, [4, n, k], 'f32', 'persistent'), 'experts', { dtype });
      using offsets = Tensor.from(device, Int32Array.from(ends));
      using y = groupedLinear(input, weight, offsets);
      const values = await y.floats();
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < n; column++)
          expect(Math.abs(values[row * n + column]! - at(row, column))).toBeLessThan(tolerance);
    });

    test('the gradient of a group without rows is nothing, or what was there', async () => {
      using input = Tensor.from(device, x, [rows, k]);
      using dy = Tensor.full(device, [rows, n], 1);
      using offsets = Tensor.from(device, Int32Array.from(ends));
      using dw = Tensor.full(device, [4, n, k], 3);
      const group = async (beta: number) => {
        commands.groupedLinearBackwardWeight(device.recorder, { beta, math: 'f32' }, { x: input, dy, offsets, dw });
        const values = await dw.floats();
        return [1, 2].map((e) => values.slice(e * n * k, e * n * k + k));
      };
      const one = Float32Array.from(x.slice(33 * k, 34 * k));
      const [none, single] = await group(0);
      expect(none).toEqual(new Float32Array(k));
      expect(single).toEqual(one);
      commands.fill(device.recorder, 3, dw);
      expect((await group(1))[0]).toEqual(new Float32Array(k).fill(3));
    });

    test('offsets that do not cover the rows are refused', async () => {
      using input = Tensor.from(device, x, [rows, k]);
      using weight = Parameter.of(Tensor.from(device, w, [4, n, k], 'f32', 'persistent'));
      for (const [wrong, message] of [
        [[0, 40, 30, 50, 70], /offsets fall from 40 to 30 at group 1/],
        [[0, 1, 2, 3, 4], /offsets go from 0 to 4, but there are 70 rows/],
      ] as const) {
        using offsets = Tensor.from(device, Int32Array.from(wrong));
        using _y = groupedLinear(input, weight, offsets);
        await expect(device.flush()).rejects.toThrow(message);
      }
    });
  });
});
