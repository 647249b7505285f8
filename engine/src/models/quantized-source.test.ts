import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import {
  bytesOf,
  dequantize,
  encodeScales,
  packWeight,
  type QuantizedLayout,
  type QuantizedTensor,
  type QuantizedWeight,
} from '../formats/index.js';
import type { TensorEntry } from '../formats/model-source.js';
import { Parameter } from '../nn/parameter.js';
import { linear } from '../ops/linear.js';
import { Tensor } from '../tensor/tensor.js';
import { quantizedSource } from './quantized-source.js';

const [N, K, GROUPS] = [40, 192, 3];
const LAYOUTS: readonly Exclude<QuantizedLayout, 'int-quantized'>[] = ['gptq', 'gptq_v2', 'awq', 'pack-quantized'];

const weight: QuantizedWeight = {
  outFeatures: N,
  inFeatures: K,
  bits: 4,
  groups: GROUPS,
  codes: Uint8Array.from({ length: N * K }, (_, i) => (i * 7 + (i >> 4)) % 16),
  scales: Float32Array.from({ length: N * GROUPS }, (_, i) => (1 + (i % 13)) / 64),
  zeros: Uint16Array.from({ length: N * GROUPS }, (_, i) => 1 + (i % 15)),
};
const symmetric: QuantizedWeight = { ...weight, zeros: new Uint16Array(N * GROUPS).fill(8) };

describe.each([['portable'], [undefined]])('with the kernels %s', (isa) => {
  let device: Device;
  let folder: string;
  beforeAll(() => {
    device = cpuDevice({ isa });
    folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
  });
  afterAll(() => {
    device.close();
    rmSync(folder, { recursive: true });
  });

  function entry(
    name: string,
    dtype: 'i8' | 'i32' | 'f16' | 'bf16' | 'f32',
    shape: readonly number[],
    data: Uint8Array,
  ): TensorEntry {
    const file = join(folder, `${name}-${Math.random()}`);
    // What comes before it in a file is no multiple of a page.
    writeFileSync(file, Buffer.concat([Buffer.alloc(24), data]));
    return { name, dtype, shape, file, offset: 24, bytes: data.byteLength };
  }

  function stored(layout: (typeof LAYOUTS)[number], values: QuantizedWeight, groupIndex?: Int32Array): QuantizedTensor {
    const { codes, zeros } = packWeight(values, layout);
    const across = layout !== 'pack-quantized';
    const turned = values.scales.map((_, i) => values.scales[(i % N) * GROUPS + Math.floor(i / N)]!);
    const shapes = {
      gptq: { codes: [K / 8, N], zeros: [GROUPS, N / 8] },
      gptq_v2: { codes: [K / 8, N], zeros: [GROUPS, N / 8] },
      awq: { codes: [K, N / 8], zeros: [GROUPS, N / 8] },
      'pack-quantized': { codes: [N, K / 8], zeros: [N / 8, GROUPS] },
    }[layout];
    return {
      layout,
      bits: 4,
      groups: GROUPS,
      codes: entry('codes', 'i32', shapes.codes, bytesOf(codes)),
      scales: across
        ? entry('scales', 'f16', [GROUPS, N], encodeScales(turned, 'f16'))
        : entry('scales', 'f16', [N, GROUPS], encodeScales(values.scales, 'f16')),
      zeros: zeros && entry('zeros', 'i32', shapes.zeros, bytesOf(zeros)),
      groupIndex: groupIndex && entry('g_idx', 'i32', [K], bytesOf(groupIndex)),
    };
  }

  function parameter(tensor: QuantizedTensor, dtype: 'f32' | 'bf16' = 'f32'): Parameter {
    const made = new Parameter(device, 'w', [N, K], dtype, quantizedSource(device, tensor, [N, K]));
    made.keepsBlocks = true;
    return made;
  }

  test.each(LAYOUTS)('%s codes are the values that they stand for', async (layout) => {
    for (const values of [weight, symmetric]) {
      using w = parameter(stored(layout, values));
      using read = w.toFloat32();
      expect(await read.floats()).toEqual(dequantize(values));
    }
  });

  test.each(LAYOUTS)('a product with %s codes as they are', async (layout) => {
    using w = parameter(stored(layout, weight));
    const packed = w.forward();
    expect([packed.dtype, packed.layout, packed.group]).toEqual(['q4_z', 'packedForward', 64]);
    // 4 bits a code, and three bytes for each group of 64.
    expect(device.packedBytes('q4_z', 'packedForward', 48, K, 64)).toBe(48 * (K / 2 + 3 * GROUPS) + 3 * 48);
    const values = dequantize(weight);
    const x = Float32Array.from({ length: 9 * K }, (_, i) => Math.sin(i * 0.7));
    const expected = (row: number, n: number) =>
      values.subarray(n * K, (n + 1) * K).reduce((sum, value, k) => sum + value * x[row * K + k]!, 0);
    for (const dtype of ['f32', 'bf16'] as const) {
      using input = Tensor.from(device, x, [9, K], dtype);
      using y = linear(input, w);
      const result = await y.floats();
      // bf16 activations are rounded to 8 bits in groups of 32.
      const tolerance = dtype === 'f32' ? 1e-4 : 0.25;
      for (let row = 0; row < 9; row++)
        for (let n = 0; n < N; n++) expect(Math.abs(result[row * N + n]! - expected(row, n))).toBeLessThan(tolerance);
    }
  });

  test('signed bytes whose rows have one scale are blocks of Q8_0, and multiplied by inputs of 8 bits', async () => {
    const values: QuantizedWeight = {
      ...weight,
      ...{ bits: 8, groups: 1, codes: Uint8Array.from({ length: N * K }, (_, i) => (i * 37 + (i >> 4)) % 256) },
      scales: Float32Array.from({ length: N }, (_, i) => (1 + (i % 13)) / 2048),
      zeros: new Uint16Array(N).fill(128),
    };
    const { codes } = packWeight(values, 'int-quantized');
    const tensor = (dtype: 'bf16' | 'f32', scales: Float32Array): QuantizedTensor => ({
      ...{ layout: 'int-quantized', bits: 8, groups: 1, zeros: undefined, groupIndex: undefined },
      codes: entry('weight', 'i8', [N, K], bytesOf(codes)),
      scales: entry('weight_scale', dtype, [N, 1], encodeScales(scales, dtype)),
    });
    using w = parameter(tensor('bf16', values.scales));
    using read = w.toFloat32();
    const floats = dequantize(values);
    expect(await read.floats()).toEqual(floats);
    expect([w.forward().dtype, w.forward().layout]).toEqual(['q8_0', 'packedForward']);
    const x = Float32Array.from({ length: 9 * K }, (_, i) => Math.sin(i * 0.7));
    using input = Tensor.from(device, x, [9, K], 'bf16');
    using y = linear(input, w);
    const result = await y.floats();
    for (let row = 0; row < 9; row++) {
      for (let n = 0; n < N; n++) {
        const own = floats.subarray(n * K, (n + 1) * K);
        const expected = own.reduce((sum, value, k) => sum + value * x[row * K + k]!, 0);
        const size = Math.hypot(...own);
        expect(Math.abs(result[row * N + n]! - expected) / size).toBeLessThan(0.03);
      }
    }
    // Scales beyond half precision are not rounded to it.
    using other = parameter(
      tensor(
        'f32',
        values.scales.map((scale) => scale * (1 + 2 ** -12)),
      ),
    );
    expect(other.forward().dtype).toBe('f32');
  });

  test('groups in the order of columns may be named', async () => {
    const named = Int32Array.from({ length: K }, (_, k) => Math.floor(k / 64));
    using w = parameter(stored('gptq', weight, named));
    expect(w.forward().dtype).toBe('q4_z');
  });

  test('scales that half precision cannot hold are not rounded to it: their weights are decoded', async () => {
    for (const [factor, dtype] of [
      [1 + 2 ** -12, 'f32'],
      [1, 'q4_z'],
    ] as const) {
      const values = { ...weight, scales: weight.scales.map((scale) => scale * factor) };
      const scales = entry('scales', 'f32', [N, GROUPS], encodeScales(values.scales, 'f32'));
      using w = parameter({ ...stored('pack-quantized', values), scales });
      expect(w.forward().dtype).toBe(dtype);
      using read = w.toFloat32();
      expect(await read.floats()).toEqual(dequantize(values));
    }
  });

  test('groups whose columns are no neighbours keep their codes: columns and input are put into another order', async () => {
    const groupIndex = Int32Array.from({ length: K }, (_, k) => (k * 5) % GROUPS);
    const values = dequantize({ ...weight, groupIndex });
    using w = parameter(stored('gptq', weight, groupIndex));
    using read = w.toFloat32();
    expect(await read.floats()).toEqual(values);
    const bytes = w.missingBytes(['packedForward']);
    const { w: packed, order } = w.forLinear();
    expect([packed.dtype, packed.layout, packed.group, order!.dtype]).toEqual(['q4_z', 'packedForward', 64, 'i32']);
    expect(bytes).toBe(device.packedBytes('q4_z', 'packedForward', N, K, 64) + 4 * K);
    expect(w.missingBytes(['packedForward'])).toBe(0);
    const x = Float32Array.from({ length: 9 * K }, (_, i) => Math.sin(i * 0.7));
    using input = Tensor.from(device, x, [9, K]);
    using plain = Parameter.of(Tensor.from(device, values, [N, K], 'f32', 'persistent'));
    using a = Parameter.of(Tensor.from(device, x.slice(0, 2 * K), [2, K], 'f32', 'persistent'));
    using b = Parameter.of(Tensor.from(device, x.slice(0, 2 * N), [N, 2], 'f32', 'persistent'));
    for (const lora of [undefined, { a, b, scale: 0.5 }]) {
      using y = linear(input, w, lora && { lora });
      using expected = linear(input, plain, lora && { lora });
      const [own, other] = [await y.floats(), await expected.floats()];
      own.forEach((value, i) => {
        expect(Math.abs(value - other[i]!)).toBeLessThan(1e-3);
      });
    }
    // A head is read by commands that take the columns as they are.
    expect(w.forward().dtype).toBe('f32');
  });

  test('groups of different sizes are decoded', async () => {
    const groupIndex = Int32Array.from({ length: K }, (_, k) => (k < 100 ? 0 : 1 + (k % 2)));
    using w = parameter(stored('gptq', weight, groupIndex));
    expect(w.forLinear().w.dtype).toBe('f32');
    using read = w.toFloat32();
    expect(await read.floats()).toEqual(dequantize({ ...weight, groupIndex }));
  });
});
