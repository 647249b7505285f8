import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Tensor } from '../tensor/tensor.js';
import * as commands from './commands/index.js';
import { cpuDevice } from './cpu-device.fixture.js';
import { type Device, openDevice } from './device.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

test('data of any length comes back as it was written, even when the caller changes it afterwards', async () => {
  for (const length of [1, 100, 16_384, 16_385, 300_000]) {
    const data = Int32Array.from({ length }, (_, i) => i * 31 - length);
    const expected = data.slice();
    using tensor = Tensor.from(device, data);
    data.fill(0);
    expect(await tensor.ints()).toEqual(expected);
  }
});

test('what is recorded runs in order, across several streams', async () => {
  using x = Tensor.zeros(device, [1000]);
  using one = Tensor.full(device, [1000], 1);
  const { submits } = device.stats();
  for (let i = 0; i < 2000; i++) commands.binary(device.recorder, 'add', x, one, x);
  expect((await x.floats())[999]).toBe(2000);
  expect(device.stats().submits).toBeGreaterThan(submits);
});

test('an error names the operation and the call that recorded it', async () => {
  using a = Tensor.zeros(device, [2, 3]);
  using b = Tensor.zeros(device, [2, 3]);
  commands.fill(device.recorder, 1, a);
  commands.matmul(device.recorder, { math: 'f32' }, { a, b, c: a });
  const failure = device.flush();
  await expect(failure).rejects.toMatchObject({
    code: expect.stringMatching(/^LF_BACKEND_/),
    message: expect.stringMatching(/MATMUL[\s\S]*recorded at .*device\.test\.ts/),
    details: { op: 'MATMUL' },
  });
  // The error was delivered: what follows runs.
  commands.fill(device.recorder, 2, b);
  expect((await b.floats())[0]).toBe(2);
});

test('without call sites an error says how to get them', async () => {
  using plain = cpuDevice({ debug: false });
  using a = Tensor.zeros(plain, [2, 3]);
  commands.matmul(plain.recorder, { math: 'f32' }, { a, b: a, c: a });
  await expect(plain.flush()).rejects.toMatchObject({ remedy: expect.stringContaining('LARGEFORGE_DEBUG=1') });
});

test('beyond the memory limit an allocation says what holds the memory', () => {
  using small = cpuDevice({ memoryLimit: 32 * 2 ** 20 });
  using held = Tensor.empty(small, [2 ** 20]);
  expect(held.bytes).toBe(2 ** 22);
  expect(() => Tensor.empty(small, [2 ** 24])).toThrow(
    expect.objectContaining({ code: 'LF_ENGINE_OUT_OF_MEMORY', message: expect.stringContaining('64.0 MiB more') }),
  );
});

test('memory held by free slabs of the wrong size is given back before an allocation fails', () => {
  using small = cpuDevice({ memoryLimit: 40 * 2 ** 20 });
  Tensor.empty(small, [6 * 2 ** 20]).dispose();
  using weight = Tensor.empty(small, [6 * 2 ** 20], 'f32', 'persistent');
  expect(weight.bytes).toBe(24 * 2 ** 20);
});

/** Priorities of the threads of all devices by their ids: lower is sooner. */
const deviceThreads = () =>
  new Map(
    readdirSync('/proc/self/task').flatMap((id) => {
      const name = readFileSync(`/proc/self/task/${id}/comm`, 'utf8');
      return name.startsWith('lf-cpu-') ? [[id, getPriority(Number(id))] as const] : [];
    }),
  );

test('an urgent device computes what another does, and its threads never wait behind those of the process', async () => {
  const usual = getPriority(process.pid);
  using urgent = cpuDevice({ urgent: true, threads: 2 });
  using sum = Tensor.full(urgent, [1000], 2);
  commands.binary(urgent.recorder, 'add', sum, sum, sum);
  expect(await sum.floats()).toEqual(new Float32Array(1000).fill(4));
  if (process.platform !== 'linux') return;
  const before = deviceThreads();
  expect(before.size).toBeGreaterThanOrEqual(3);
  // Without the right to a lower value they stay where they are.
  for (const nice of before.values()) expect(nice).toBeLessThanOrEqual(usual);
  using patient = cpuDevice({ threads: 2 });
  using other = Tensor.full(patient, [1000], 2);
  await other.floats();
  const begun = [...deviceThreads()].filter(([id]) => !before.has(id));
  expect(begun.length).toBeGreaterThanOrEqual(1);
  // What opened the urgent device does not hand its priority on.
  for (const [, nice] of begun) expect(nice).toBeGreaterThanOrEqual(usual);
});

test('a library that is not there, and a device that does not exist, are clear errors', () => {
  expect(() => openDevice({ library: '/nowhere/backend.so' })).toThrow(
    expect.objectContaining({
      code: 'LF_ENGINE_BACKEND_UNLOADABLE',
      message: expect.stringContaining('/nowhere/backend.so'),
    }),
  );
  expect(() => cpuDevice({ index: 9 })).toThrow(expect.objectContaining({ code: 'LF_ENGINE_DEVICE_UNAVAILABLE' }));
  expect(() => cpuDevice({ isa: 'z80' })).toThrow(expect.objectContaining({ code: 'LF_ENGINE_DEVICE_UNAVAILABLE' }));
});

test('a closed device says so', async () => {
  const closing = cpuDevice();
  using tensor = Tensor.zeros(closing, [4]);
  closing.close();
  closing.close();
  expect(() => Tensor.zeros(closing, [4])).toThrow(expect.objectContaining({ code: 'LF_ENGINE_DEVICE_CLOSED' }));
  await expect(tensor.floats()).rejects.toMatchObject({ code: 'LF_ENGINE_DEVICE_CLOSED' });
});

test.each([
  ['by many pages', 4096],
  ['by less than a page', 1_199_000],
])('a mapped file is read as a tensor, and one cut short %s later is an error', async (_, left) => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
  const path = join(folder, 'weights');
  const values = Float32Array.from({ length: 300_000 }, (_, i) => i / 7);
  writeFileSync(path, new Uint8Array(values.buffer));
  {
    using mapped = Tensor.over(device, device.mapFile(path, 400, 4000), [1000], 'f32');
    expect(await mapped.floats()).toEqual(values.slice(100, 1100));
    using whole = Tensor.over(device, device.mapFile(path, 0, values.byteLength), [300_000], 'f32');
    truncateSync(path, left);
    using copy = Tensor.empty(device, [300_000]);
    commands.copy(device.recorder, whole, copy);
    await expect(device.flush()).rejects.toMatchObject({
      code: 'LF_BACKEND_IO',
      message: expect.stringContaining(path),
    });
  }
  await expect((async () => device.mapFile(join(folder, 'absent'), 0, 10))()).rejects.toMatchObject({
    code: 'LF_BACKEND_IO',
  });
  rmSync(folder, { recursive: true });
});

test('it can be asked whether a command would run', () => {
  using x = Tensor.zeros(device, [4, 8]);
  using bad = Tensor.zeros(device, [4, 9]);
  expect(device.unsupported((r) => commands.softmax(r, x, x))).toBeUndefined();
  expect(device.unsupported((r) => commands.softmax(r, x, bad))).toEqual(expect.any(String));
});
