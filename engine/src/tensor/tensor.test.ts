import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { scope, unscoped } from './scope.js';
import { Tensor } from './tensor.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

describe('data goes to the device and back', () => {
  test('numbers become f32, typed arrays keep their type', async () => {
    using numbers = Tensor.from(device, [1, 2.5, -3]);
    expect(numbers.dtype).toBe('f32');
    expect(await numbers.toArray()).toEqual(Float32Array.of(1, 2.5, -3));
    for (const array of [
      Int32Array.of(-1, 2),
      Uint32Array.of(1, 2 ** 32 - 1),
      Int8Array.of(-128, 127),
      Uint8Array.of(255),
      Float64Array.of(0.1),
    ]) {
      using tensor = Tensor.from(device, array);
      expect(await tensor.toArray()).toEqual(array);
    }
  });

  test('bf16 and f16 round to nearest, ties to even', async () => {
    using bf16 = Tensor.from(device, [1, 1.00390625, 1.01171875, Math.PI], [4], 'bf16');
    expect(await bf16.floats()).toEqual(Float32Array.of(1, 1, 1.015625, 3.140625));
    using f16 = Tensor.from(device, [1, 1.00048828125, 65504, 1e-8], [4], 'f16');
    expect(await f16.floats()).toEqual(Float32Array.of(1, 1, 65504, 0));
  });

  test('a scalar is read with item, and nothing else is', async () => {
    using scalar = Tensor.full(device, [1], 4.5);
    expect(await scalar.item()).toBe(4.5);
    using pair = Tensor.zeros(device, [2]);
    await expect(pair.item()).rejects.toThrow('not one element');
  });

  test('a number of values that does not fill the shape is refused', () => {
    expect(() => Tensor.from(device, [1, 2, 3], [2, 2])).toThrow('3 values do not fill [2, 2]');
  });
});

describe('views share memory', () => {
  test('narrow, reshape and strides', async () => {
    using x = Tensor.from(
      device,
      Float32Array.from({ length: 12 }, (_, i) => i),
      [3, 4],
    );
    using column = x.narrow(1, 1, 2);
    expect(column.isContiguous()).toBe(false);
    expect([...(await column.floats())]).toEqual([1, 2, 5, 6, 9, 10]);
    using row = x.narrow(0, 2, 1);
    using flat = row.reshape(4);
    expect([...(await flat.floats())]).toEqual([8, 9, 10, 11]);
    using transposed = x.view([4, 3], [1, 4]);
    expect([...(await transposed.floats())]).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    using broadcast = row.view([2, 4], [0, 1]);
    expect([...(await broadcast.floats())]).toEqual([8, 9, 10, 11, 8, 9, 10, 11]);
  });

  test('memory lives as long as any handle of it', async () => {
    const x = Tensor.from(device, [1, 2, 3, 4]);
    using tail = x.narrow(0, 2, 2);
    const before = device.stats().transientBytes;
    x.dispose();
    expect(device.stats().transientBytes).toBe(before);
    expect([...(await tail.floats())]).toEqual([3, 4]);
    expect(tail.shared).toBe(false);
  });

  test('what cannot be a view is refused', () => {
    using x = Tensor.zeros(device, [3, 4]);
    using column = x.narrow(1, 0, 2);
    expect(() => column.reshape(6)).toThrow('not contiguous');
    expect(() => x.reshape(5)).toThrow('cannot become [5]');
    expect(() => x.narrow(0, 2, 2)).toThrow('2..4 of dimension 0 does not lie in f32 [3, 4]');
  });
});

describe('scopes', () => {
  test('dispose what is made inside but what is returned, however it is wrapped', () => {
    const before = device.stats().liveTensors;
    const made: Tensor[] = [];
    const kept = scope(() => {
      for (let i = 0; i < 5; i++) made.push(Tensor.zeros(device, [4]));
      return { one: made[1], list: [made[3]], none: undefined, map: new Map([['x', made[4]]]) };
    });
    expect(made.map((tensor) => tensor.disposed)).toEqual([true, false, true, false, false]);
    expect(kept.one).toBe(made[1]);
    for (const tensor of made) tensor.dispose();
    expect(device.stats().liveTensors).toBe(before);
  });

  test('nest: what an inner scope returns belongs to the outer one', () => {
    let inner: Tensor | undefined;
    scope(() => {
      inner = scope(() => Tensor.zeros(device, [1]));
      expect(inner.disposed).toBe(false);
    });
    expect(inner!.disposed).toBe(true);
  });

  test('leave persistent and unscoped tensors alone', () => {
    const [weight, free] = scope(() => {
      const tensors = [Tensor.zeros(device, [1], 'f32', 'persistent'), unscoped(() => Tensor.zeros(device, [1]))];
      return () => tensors;
    })() as [Tensor, Tensor];
    expect([weight.disposed, free.disposed]).toEqual([false, false]);
    weight.dispose();
    free.dispose();
  });

  test('dispose everything when they fail, and refuse to be asynchronous', () => {
    const before = device.stats().liveTensors;
    expect(() =>
      scope(() => {
        Tensor.zeros(device, [1]);
        throw new Error('broken');
      }),
    ).toThrow('broken');
    expect(() => scope(async () => Tensor.zeros(device, [1]))).toThrow('cannot be asynchronous');
    expect(device.stats().liveTensors).toBe(before);
  });
});

test('a disposed tensor cannot be used', async () => {
  const x = Tensor.zeros(device, [2, 2]);
  x.dispose();
  x.dispose();
  await expect(x.toArray()).rejects.toMatchObject({
    code: 'LF_ENGINE_TENSOR_DISPOSED',
    message: expect.stringContaining('f32 [2, 2]'),
  });
  expect(() => x.retain()).toThrow('disposed');
});
