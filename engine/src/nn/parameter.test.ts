import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as commands from '../device/commands/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { Tensor, unscoped } from '../tensor/index.js';
import { Parameter, type WeightSource } from './parameter.js';

let device: Device;
let folder: string;
beforeAll(() => {
  device = cpuDevice();
  folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
});
afterAll(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

/** A source in a file, which counts how often it is opened. */
function source(values: Float32Array, shape: number[]): WeightSource & { opened: number } {
  const path = join(folder, `${Math.random()}`);
  writeFileSync(path, new Uint8Array(values.buffer));
  return {
    direct: true,
    opened: 0,
    open() {
      this.opened++;
      return unscoped(() => Tensor.over(device, device.mapFile(path, 0, values.byteLength), shape, 'f32'));
    },
  };
}

const values = Float32Array.of(1, 2, 3, 1.00390625, 5, 6, 7, 8);

/** x w^T for x = identity: the weight as LINEAR sees it, transposed. */
async function product(weight: Tensor): Promise<number[]> {
  using x = Tensor.from(device, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], [4, 4]);
  using y = Tensor.empty(device, [4, 2]);
  commands.linear(device.recorder, { math: 'f32' }, { x, w: weight, y });
  const columns = await y.floats();
  return [0, 1].flatMap((n) => [0, 1, 2, 3].map((k) => columns[k * 2 + n]!));
}

test('a frozen matrix is packed when it is needed, once, and read from its file each time it is made anew', async () => {
  const file = source(values, [2, 4]);
  using weight = new Parameter(device, 'w', [2, 4], 'f32', file);
  expect(file.opened).toBe(0);
  expect(weight.forward().layout).toBe('packedForward');
  expect(weight.forward()).toBe(weight.forward());
  expect(weight.backward().layout).toBe('packedBackward');
  expect(file.opened).toBe(2);
  expect(await product(weight.forward())).toEqual([...values]);
});

test('a trainable one is an f32 master with a copy in the compute precision', async () => {
  using weight = new Parameter(device, 'w', [2, 4], 'bf16', source(values, [2, 4]));
  expect(weight.master).toBeUndefined();
  weight.trainable = true;
  expect(await weight.master!.floats()).toEqual(values);
  expect(weight.value().dtype).toBe('bf16');
  expect(weight.computeCopy).toBe(weight.value());
  // 1.00390625 lies between two bf16 numbers.
  expect((await weight.value().floats())[3]).toBe(1);
  using doubled = Tensor.from(
    device,
    values.map((v) => 2 * v),
    [2, 4],
  );
  commands.copy(device.recorder, doubled, weight.master!);
  weight.refresh();
  expect((await weight.value().floats())[7]).toBe(16);
  weight.trainable = false;
  // What was trained stays, in full precision.
  using kept = weight.toFloat32();
  expect((await kept.floats())[3]).toBe(2 * values[3]!);
  expect(await product(weight.forward())).toEqual([2, 4, 6, 2, 10, 12, 14, 16]);
});

test('in f32 the master itself is used', () => {
  using weight = new Parameter(device, 'w', [2, 4], 'f32', source(values, [2, 4]));
  weight.trainable = true;
  expect(weight.value()).toBe(weight.master);
  expect(weight.computeCopy).toBeUndefined();
});

test('vectors are f32 in every precision', async () => {
  using norm = new Parameter(device, 'norm', [8], 'bf16', source(values, [8]));
  expect(norm.value().dtype).toBe('f32');
  expect(await norm.value().floats()).toEqual(values);
});

test('an embedding table is read where it lies', () => {
  using table = new Parameter(device, 'table', [2, 4], 'bf16', source(values, [2, 4]));
  const before = device.stats().persistentBytes;
  expect(table.table().dtype).toBe('f32');
  expect(device.stats().persistentBytes).toBe(before);
});

test('new values replace the old ones in every form', async () => {
  using weight = new Parameter(device, 'w', [2, 4], 'f32', source(values, [2, 4]));
  weight.forward();
  weight.table();
  using zeros = Tensor.zeros(device, [2, 4]);
  weight.assign(zeros);
  expect(await product(weight.forward())).toEqual(new Array(8).fill(0));
  expect([...(await weight.table().floats())]).toEqual(new Array(8).fill(0));
});

test('everything is given back', () => {
  const before = device.stats();
  const weight = new Parameter(device, 'w', [2, 4], 'bf16', source(values, [2, 4]));
  weight.forward();
  weight.table();
  weight.trainable = true;
  weight.gradientToAdd();
  weight.trainable = false;
  weight.backward();
  weight.dispose();
  expect(device.stats().liveTensors).toBe(before.liveTensors);
  expect(device.stats().persistentBytes).toBe(before.persistentBytes);
});
