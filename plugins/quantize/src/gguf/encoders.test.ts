import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import { byteLength, commands, type Device, type DType, openDevice, scope, Tensor } from '@largeforge/engine';
import { afterAll, beforeAll, expect, it } from 'vitest';

interface Golden {
  readonly rows: number;
  readonly columns: number;
  readonly weight: number[];
  readonly importance: number[];
  readonly cases: { readonly type: DType; readonly weighed: boolean; readonly bytes: string; readonly error: number }[];
}

/** What llama.cpp's quantisers make of a small matrix: fixtures/make_gguf_blocks.py. */
const golden: Golden = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/gguf_blocks.json', import.meta.url)), 'utf8'),
);
const shape = [golden.rows, golden.columns];
const weight = Float32Array.from(golden.weight);
let device: Device;

beforeAll(() => {
  device = openDevice({ library: locateLibrary(), threads: 2 });
});
afterAll(() => device[Symbol.dispose]());

/** Squared error of a tensor in a block format, each column by what it counts. */
async function errorOf(blocks: Tensor, weighed: boolean): Promise<number> {
  using floats = scope(() => {
    const out = Tensor.empty(device, shape);
    commands.copy(device.recorder, blocks, out);
    return out;
  });
  const values = await floats.floats();
  return values.reduce((sum, value, i) => {
    const counts = weighed ? golden.importance[i % golden.columns]! : 1;
    return sum + counts * (value - weight[i]!) ** 2;
  }, 0);
}

async function encoded(type: DType, weighed: boolean): Promise<Tensor> {
  const out = Tensor.empty(device, shape, type, 'persistent');
  scope(() => {
    const importance = weighed ? { importance: Tensor.from(device, Float32Array.from(golden.importance)) } : {};
    commands.encodeBlocks(device.recorder, { src: Tensor.from(device, weight, shape), ...importance, dst: out });
  });
  return out;
}

it.each(golden.cases)(
  'of $type, weighed $weighed, lose no more than those of llama.cpp',
  async ({ type, weighed, error }) => {
    using blocks = await encoded(type, weighed);
    expect(await errorOf(blocks, weighed)).toBeLessThanOrEqual(error * 1.001);
  },
);

it.each(golden.cases)(
  'blocks of llama.cpp mean here what they mean there: $type, weighed $weighed',
  async ({ type, weighed, bytes, error }) => {
    using blocks = Tensor.empty(device, shape, type, 'persistent');
    device.write(blocks, Buffer.from(bytes, 'hex'));
    expect((await errorOf(blocks, weighed)) / error).toBeCloseTo(1, 5);
  },
);

it('Q8_0 has the bytes of llama.cpp', async () => {
  const { bytes } = golden.cases.find(({ type, weighed }) => type === 'q8_0' && !weighed)!;
  using blocks = await encoded('q8_0', false);
  expect(Buffer.from(await device.read(blocks, byteLength('q8_0', shape))).toString('hex')).toBe(bytes);
});
