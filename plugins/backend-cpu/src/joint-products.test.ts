import { commands, type Device, type DType, openDevice, Tensor } from '@largeforge/engine';
import { expect, it } from 'vitest';
import { locateLibrary } from './library.js';

const K = 64;
const WIDTHS = [48, 16, 80];

function filled(device: Device, shape: readonly number[], stream: number): Tensor {
  const tensor = Tensor.empty(device, shape, 'f32');
  commands.random(device.recorder, 'uniform', -1, 1, { seedLow: 1, seedHigh: 2, stream }, tensor);
  return tensor;
}

function packed(device: Device, n: number, dtype: DType): Tensor {
  const blocks = Tensor.empty(device, [n, K], dtype);
  commands.encodeBlocks(device.recorder, { src: filled(device, [n, K], n), dst: blocks });
  const w = Tensor.packed(device, n, K, dtype, 'packedForward');
  commands.pack(device.recorder, { src: blocks, dst: w });
  return w;
}

/** Products of one x with several weights; `apart` ends what is recorded after each, so that none can join the one before. */
async function products(
  device: Device,
  rows: number,
  weights: readonly Tensor[],
  apart: boolean,
): Promise<Float32Array[]> {
  const x = filled(device, [rows, K], 99);
  const results: Tensor[] = [];
  for (const w of weights) {
    const y = Tensor.empty(device, [rows, w.shape[0]!], 'f32');
    commands.linear(device.recorder, { math: 'int8' }, { x, w, y });
    if (apart) await device.flush();
    results.push(y);
  }
  return Promise.all(results.map((y) => y.floats()));
}

it.each([1, 5, 40])('products of the same %i rows give together what they give one by one', async (rows) => {
  for (const threads of [1, 2]) {
    const device = openDevice({ library: locateLibrary(), threads });
    try {
      const same = WIDTHS.map((n) => packed(device, n, 'q4_1'));
      // A format of its own in the middle, and more of one than run together.
      const mixed = [...same, packed(device, 32, 'q8_0'), ...same, ...same];
      for (const weights of [same, mixed]) {
        expect(await products(device, rows, weights, false)).toEqual(await products(device, rows, weights, true));
      }
    } finally {
      device[Symbol.dispose]();
    }
  }
});

it('a product that reads what the one before wrote waits for it', async () => {
  const device = openDevice({ library: locateLibrary(), threads: 2 });
  try {
    const w = packed(device, K, 'q4_1');
    const run = async (apart: boolean) => {
      const x = filled(device, [K, K], 7);
      const y = Tensor.empty(device, [K, K], 'f32');
      commands.linear(device.recorder, { math: 'int8' }, { x, w, y: x });
      if (apart) await device.flush();
      commands.linear(device.recorder, { math: 'int8' }, { x, w, y });
      return y.floats();
    };
    expect(await run(false)).toEqual(await run(true));
  } finally {
    device[Symbol.dispose]();
  }
});
