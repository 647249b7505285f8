import { expect, test } from 'vitest';
import * as commands from '../device/commands/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { Tensor } from '../tensor/tensor.js';

const [k, n, rows] = [512, 40, 45];
const wave = (length: number, step: number) =>
  Float32Array.from({ length }, (_, i) => Math.sin(i * step) * (1 + (i % 7)));
const x = wave(rows * k, 0.37);
const weight = wave(n * k, 0.11);

/** Formats of different codes, offsets, scales and minima; of Q6_K each half of a group has a scale. */
const formats = ['q4_0', 'q4_1', 'q5_0', 'q8_0', 'q4_k', 'q6_k'] as const;

/** x w^T in 8 bits of the first `count` rows, w packed in the format. */
async function product(device: Device, format: (typeof formats)[number], first: number, count: number) {
  using blocks = Tensor.empty(device, [n, k], format);
  commands.encodeBlocks(device.recorder, { src: Tensor.from(device, weight, [n, k]), dst: blocks });
  using w = Tensor.packed(device, n, k, format, 'packedForward');
  commands.pack(device.recorder, { src: blocks, dst: w });
  using input = Tensor.from(device, x.slice(first * k, (first + count) * k), [count, k], 'bf16');
  using y = Tensor.empty(device, [count, n]);
  commands.linear(device.recorder, { math: 'int8' }, { x: input, w, y });
  return y.floats();
}

/** The levels of this machine, and tiles of AMX where they can be emulated. */
function devices(): Device[] {
  return ['portable', 'avx2', 'avx512', 'avx512-bf16', 'amx-emulated', 'amx'].flatMap((isa) => {
    try {
      return [cpuDevice({ isa, threads: 2 })];
    } catch {
      return [];
    }
  });
}

test.each(formats)(
  'a row times weights of %s in 8 bits has the same bits alone, beside others, and on tiles',
  async (format) => {
    const levels = devices();
    try {
      for (const device of levels) {
        const together = await product(device, format, 0, rows);
        for (const [first, count] of [
          [0, 1],
          [3, 8],
          [20, 9],
          [29, 16],
        ] as const) {
          const own = await product(device, format, first, count);
          expect(own, `${device.properties.isa}, ${count} rows`).toEqual(
            together.subarray(first * n, (first + count) * n),
          );
        }
      }
      const [vectors, tiles] = ['avx512-bf16', 'amx-emulated'].map((isa) =>
        levels.find((device) => device.properties.isa === isa),
      );
      if (!vectors || !tiles) return;
      expect(await product(tiles, format, 0, rows)).toEqual(await product(vectors, format, 0, rows));
    } finally {
      for (const device of levels) device.close();
    }
  },
);
