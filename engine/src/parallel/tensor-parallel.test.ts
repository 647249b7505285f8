import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import * as commands from '../device/commands/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { Op } from '../device/opcodes.js';
import { CAUSAL, difference, golden, goldenFiles } from '../models/golden.fixture.js';
import { asCausal, loadModelFiles } from '../models/load.js';
import { Tensor } from '../tensor/tensor.js';
import { groupDevices } from './device-group.js';
import { sliceOf } from './slices.js';
import { decodeLogits, greedyTokens } from './tensor-parallel.fixture.js';
import { loadTensorParallelFiles } from './tensor-parallel.js';

const open = (count: number) => Array.from({ length: count }, () => cpuDevice({ threads: 1 }));
const close = (devices: readonly Device[]) => {
  for (const device of devices) device.close();
};

describe('devices in a group', () => {
  it.each(['f32', 'bf16', 'f16'] as const)('sum what each has, to the same bits, in %s', async (dtype) => {
    const devices = open(3);
    const members = await groupDevices(devices);
    // Whole numbers that every type has.
    const values = members.map((_, r) => Float32Array.from({ length: 5000 }, (_, i) => ((i * 7 + r * 13) % 60) - 30));
    const parts = members.map(({ device }, r) => {
      const part = Tensor.empty(device, [50, 100], dtype, 'persistent');
      device.write(part, new Uint8Array(part.bytes));
      return { part, from: Tensor.from(device, values[r]!, [50, 100]) };
    });
    for (const [r, { part, from }] of parts.entries()) commands.copy(devices[r]!.recorder, from, part);
    for (const [r, member] of members.entries()) member.sum(parts[r]!.part);
    for (const device of devices) device.submit();
    const sums = await Promise.all(parts.map(({ part }) => part.floats()));
    const expected = values[0]!.map((v, i) => v + values[1]![i]! + values[2]![i]!);
    for (const sum of sums) expect(sum).toEqual(expected);
    close(devices);
  });

  it('gather columns in the order of the ranks', async () => {
    const devices = open(2);
    const members = await groupDevices(devices);
    const gathered = members.map((member, r) =>
      member.gatherColumns(Tensor.from(member.device, Float32Array.of(r, 1 + r, 10 + r, 11 + r), [2, 2])),
    );
    for (const device of devices) device.submit();
    for (const tensor of gathered) expect([...(await tensor.floats())]).toEqual([0, 1, 1, 2, 10, 11, 11, 12]);
    close(devices);
  });

  it('fail together when one fails before the others get an answer', async () => {
    const devices = open(2);
    const members = await groupDevices(devices);
    const [a, b] = devices.map((device) => Tensor.zeros(device, [8], 'f32')) as [Tensor, Tensor];
    members[0]!.sum(a);
    // The second device's queue stops at an index that its table does not have.
    const ids = Tensor.from(devices[1]!, Int32Array.of(99));
    const table = Tensor.zeros(devices[1]!, [2, 8], 'f32');
    commands.embedding(devices[1]!.recorder, ids, table, b.reshape(1, 8));
    members[1]!.sum(b);
    const ended = await Promise.allSettled(devices.map((device) => device.flush()));
    expect(ended.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(String((ended[0] as PromiseRejectedResult).reason.message)).toMatch(/device 1 of the group stopped: .*99/);
    // It stays so.
    members[0]!.sum(a);
    await expect(devices[0]!.flush()).rejects.toThrow(/stopped/);
    close(devices);
  });

  it('do not wait for a device that was closed', async () => {
    const devices = open(2);
    const members = await groupDevices(devices);
    members[0]!.sum(Tensor.zeros(devices[0]!, [8], 'f32'));
    const flushed = devices[0]!.flush();
    devices[1]!.close();
    await expect(flushed).rejects.toThrow(/device 1 of the group stopped: it was closed/);
    devices[0]!.close();
  });
});

describe('a model on two devices', () => {
  let one: Device;
  let two: Device[];
  beforeAll(() => {
    one = cpuDevice();
    two = open(2);
  });
  afterAll(() => close([one, ...two]));

  it.each(CAUSAL.filter((name) => name !== 'llama-tied'))('%s gives the logits and tokens of one', async (name) => {
    const files = goldenFiles(name);
    using whole = asCausal(loadModelFiles(one, files, { dtype: 'f32' }));
    using split = await loadTensorParallelFiles(two, files, { dtype: 'f32' });
    const tokens = golden(name).sequences[0]!;
    const expected = await decodeLogits(whole, tokens, 3);
    const found = await decodeLogits(split, tokens, 3);
    expect(found).toHaveLength(tokens.length);
    for (const [position, row] of found.entries()) {
      expect(difference(row, expected[position]!), `position ${position}`).toBeLessThan(1e-4);
    }
    const drawn = await greedyTokens(split);
    expect(drawn).toHaveLength(Math.min(32, whole.config.maxPositions - 7));
    expect(drawn).toEqual(await greedyTokens(whole));
  });

  it('asks for memory only while no device waits for another, however much it records', async () => {
    using split = await loadTensorParallelFiles(two, goldenFiles('llama'), { dtype: 'f32' });
    const tokens = golden('llama').sequences[0]!;
    const events: string[] = [];
    const spies = two.flatMap((device) => {
      const { recorder } = device;
      // Else what a tiny model records is never enough to be submitted on its own.
      Object.assign(recorder, { limit: 256 });
      const allocate = device.allocate.bind(device);
      const submit = device.submit.bind(device);
      return [
        vi.spyOn(device, 'allocate').mockImplementation((...args) => {
          events.push('memory');
          return allocate(...args);
        }),
        vi.spyOn(device, 'submit').mockImplementation(() => {
          for (let at = 0; at * 4 < recorder.size; at += recorder.words[at + 1]! / 4)
            if (recorder.words[at] === Op.ALL_REDUCE) events.push('sum');
          submit();
        }),
      ];
    });
    try {
      await decodeLogits(split, tokens, 3);
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    // In each step all sums of both ranks are handed over with no request for memory between them.
    const runs = events.join(' ').match(/sum( sum)*/g)!;
    // Of the embeddings, and two of each layer.
    const sumsOfRank = 1 + 2 * split.config.numLayers;
    expect(new Set(runs.map((run) => run.split(' ').length))).toEqual(new Set([2 * sumsOfRank]));
  });

  it('is refused where heads do not divide', async () => {
    await expect(loadTensorParallelFiles(two, goldenFiles('llama-tied'), { dtype: 'f32' })).rejects.toMatchObject({
      code: 'LF_ENGINE_TENSOR_PARALLEL',
      message: expect.stringContaining('3 attention heads do not divide by 2'),
    });
  });

  it('is refused for an encoder', async () => {
    await expect(loadTensorParallelFiles(two, goldenFiles('bert'), {})).rejects.toMatchObject({
      code: 'LF_ENGINE_NOT_CAUSAL',
    });
  });

  it('is not trained', async () => {
    using split = await loadTensorParallelFiles(two, goldenFiles('llama'), { dtype: 'f32' });
    expect(() => split.setTrainable(true)).toThrow(/does not give training/);
  });
});

describe('slices of a weight', () => {
  let device: Device;
  beforeAll(() => {
    device = cpuDevice();
  });
  afterAll(() => device.close());
  const values = (rows: number, columns: number) =>
    Float32Array.from({ length: rows * columns }, (_, i) => ((i * 37) % 101) / 16 - 3);

  it('take runs of rows and fill them up', async () => {
    using whole = Tensor.from(device, values(6, 2), [6, 2]);
    const runs = [
      [1, 1],
      [4, 2],
    ] as const;
    using slice = sliceOf(whole, { dimension: 0, size: 6, runs, padded: 4 });
    const all = values(6, 2);
    expect([...(await slice.floats())]).toEqual([...all.subarray(2, 4), ...all.subarray(8, 12), 0, 0]);
  });

  it.each([
    ['rows', 0, [[2, 2]], 'q8_0'],
    ['whole blocks of columns', 1, [[32, 32]], 'q8_0'],
    ['cut blocks', 1, [[16, 40]], 'f32'],
  ] as const)('of a block format: %s', async (_what, dimension, runs, dtype) => {
    using plain = Tensor.from(device, values(4, 96), [4, 96]);
    using blocks = Tensor.empty(device, [4, 96], 'q8_0');
    commands.encodeBlocks(device.recorder, { src: plain, dst: blocks });
    using decoded = Tensor.empty(device, [4, 96], 'f32');
    commands.copy(device.recorder, blocks, decoded);
    const slice = { dimension, size: dimension ? 96 : 4, runs };
    using part = sliceOf(blocks, slice);
    expect(part.dtype).toBe(dtype);
    using found = Tensor.empty(device, part.shape, 'f32');
    commands.copy(device.recorder, part, found);
    using expected = sliceOf(decoded, slice);
    expect(await found.floats()).toEqual(await expected.floats());
  });
});
