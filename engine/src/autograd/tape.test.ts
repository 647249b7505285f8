import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { difference, relativeDifference } from '../models/golden.fixture.js';
import { Parameter } from '../nn/parameter.js';
import * as ops from '../ops/index.js';
import { scope, Tensor } from '../tensor/index.js';
import { PhiloxStream } from '../training/random.js';
import { checkpoint, RandomKeys, Tape, withTape } from './index.js';

let device: Device;
let random: PhiloxStream;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());
beforeEach(() => {
  random = new PhiloxStream(11, 1);
});

/** Values in [-1, 1). */
function draw(...shape: number[]): Tensor {
  const length = shape.reduce((a, b) => a * b, 1);
  return Tensor.from(
    device,
    Float32Array.from({ length }, () => random.uint32() / 2 ** 31 - 1),
    shape,
  );
}

function leaf(...shape: number[]): Tensor {
  const tensor = draw(...shape);
  tensor.requiresGrad = true;
  return tensor;
}

function parameter(...shape: number[]): Parameter {
  const values = Tensor.empty(device, shape, 'f32', 'persistent');
  const result = Parameter.of(values, 'w');
  using drawn = draw(...shape);
  result.assign(drawn);
  result.trainable = true;
  return result;
}

/**
 * Compares gradients of sum(weight * fn()) with central differences of it, in every leaf and parameter, along random
 * directions. f32 leaves little room: a step of 1e-2 and a tolerance of a few per mille.
 */
async function checkGradients(fn: () => Tensor, inputs: readonly (Tensor | Parameter)[]): Promise<void> {
  using probe = scope(fn);
  using weight = draw(...probe.shape);
  using tape = new Tape();
  const out = withTape(tape, fn);
  tape.backward({ tensor: out, gradient: weight });
  out.dispose();
  const weights = await weight.floats();
  const value = async () => {
    using result = scope(fn);
    return (await result.floats()).reduce((sum, x, i) => sum + x * weights[i]!, 0);
  };
  for (const input of inputs) {
    const gradient = await input.grad!.floats();
    const target = input instanceof Parameter ? input.value() : input;
    const before = await target.floats();
    const direction = before.map(() => random.uint32() / 2 ** 31 - 1);
    const at = async (step: number) => {
      const moved = before.map((x, i) => x + step * direction[i]!);
      device.write(target, new Uint8Array(moved.buffer));
      return value();
    };
    const h = 1e-2;
    const numeric = (8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h);
    await at(0);
    const analytic = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0);
    const scale = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
    expect(scale).toBeGreaterThan(1e-3);
    expect(Math.abs(numeric - analytic)).toBeLessThan(5e-3 * Math.max(scale, Math.abs(analytic)));
  }
}

describe('gradients agree with finite differences', () => {
  test('linear with bias', async () => {
    const [x, w, b] = [leaf(5, 7), parameter(4, 7), parameter(4)];
    await checkGradients(() => ops.linear(x, w, { bias: b }), [x, w, b]);
  });

  test('linear with a fused activation', async () => {
    const [x, w, b] = [leaf(5, 7), parameter(4, 7), parameter(4)];
    await checkGradients(() => ops.linear(x, w, { bias: b, activation: 'gelu' }), [x, w, b]);
  });

  test('linear with a low-rank branch, with and without dropout', async () => {
    const [x, w, a, b] = [leaf(5, 7), parameter(4, 7), parameter(2, 7), parameter(4, 2)];
    await checkGradients(() => ops.linear(x, w, { lora: { a, b, scale: 1.5 } }), [x, w, a, b]);
    for (const p of [w, a, b]) p.zeroGrad();
    x.grad = undefined;
    const dropout = { probability: 0.4, key: { seedLow: 3, seedHigh: 0, stream: 9 } };
    await checkGradients(() => ops.linear(x, w, { lora: { a, b, scale: 1.5, dropout } }), [x, w, a, b]);
  });

  test('a low-rank branch on an input that needs no gradient', async () => {
    const [x, w, a, b] = [draw(5, 7), parameter(4, 7), parameter(2, 7), parameter(4, 2)];
    w.trainable = false;
    await checkGradients(() => ops.linear(x, w, { lora: { a, b, scale: 1.5 } }), [a, b]);
    expect(w.grad).toBeUndefined();
    expect(x.grad).toBeUndefined();
  });

  test('RMSNorm and LayerNorm, alone and with a residual', async () => {
    const [x, r, w, b] = [leaf(4, 8), leaf(4, 8), parameter(8), parameter(8)];
    const options = { eps: 1e-3 };
    await checkGradients(() => ops.rmsNorm(x, w, options).y, [x, w]);
    for (const layer of [false, true]) {
      for (const p of [w, b]) p.zeroGrad();
      x.grad = undefined;
      r.grad = undefined;
      const norm = () =>
        layer ? ops.layerNorm(x, w, b, { ...options, residual: r }) : ops.rmsNorm(x, w, { ...options, residual: r });
      // Both results are used, as a block uses them.
      await checkGradients(() => ops.add(norm().y, norm().sum, { beta: 0.7 }), layer ? [x, r, w, b] : [x, r, w]);
    }
  });

  test('rotation and attention', async () => {
    const [q, k, v] = [leaf(6, 4, 8), leaf(6, 2, 8), leaf(6, 2, 8)];
    const positions = Tensor.from(device, Int32Array.of(0, 1, 2, 3, 0, 1));
    const invFreq = Tensor.from(device, [1, 0.5, 0.2, 0.1]);
    const cuSeqlens = Tensor.from(device, Int32Array.of(0, 4, 6));
    // The rotation works in place, so each run turns copies.
    const turned = (x: Tensor) => ops.rope(ops.cast(x, 'f32'), positions, invFreq, { scale: 1.1 });
    await checkGradients(
      () => ops.attention(turned(q), turned(k), v, { cuSeqlens, maxSeqlen: 4, causal: true, window: 3 }),
      [q, k, v],
    );
  });

  test('gated unit, activations, dropout, narrow and gathered rows', async () => {
    const [x, y] = [leaf(5, 6), leaf(5, 6)];
    await checkGradients(() => ops.glu('silu', x, y), [x, y]);
    for (const kind of ['gelu', 'gelu_tanh', 'tanh', 'sigmoid'] as const) {
      x.grad = undefined;
      await checkGradients(() => ops.unary(kind, x), [x]);
    }
    x.grad = undefined;
    await checkGradients(() => ops.dropout(x, 0.3, { seedLow: 1, seedHigh: 2, stream: 3 }), [x]);
    x.grad = undefined;
    await checkGradients(() => ops.add(ops.narrow(x, 0, 1, 3), ops.narrow(x, 0, 2, 3)), [x]);
    x.grad = undefined;
    const ids = Tensor.from(device, Int32Array.of(4, 0, 4));
    await checkGradients(() => ops.gatherRows(x, ids), [x]);
  });

  test('soft caps', async () => {
    const x = leaf(3, 4);
    await checkGradients(() => ops.softcap(x, 0.7), [x]);
  });

  test.each([false, true])('routes to experts, normalised %s', async (normalize) => {
    const [x, router, w, v] = [leaf(6, 5), parameter(4, 5), parameter(4, 7, 5), parameter(4, 5, 7)];
    // Two experts stand out for each token: a small step must not change which are chosen.
    const ahead = Tensor.from(
      device,
      Array.from({ length: 24 }, (_, i) => (((i % 4) + Math.floor(i / 4)) % 4 < 2 ? 5 : 0)),
      [6, 4],
    );
    await checkGradients(() => {
      const logits = ops.add(ops.linear(x, router), ahead);
      const { rows, offsets, weights } = ops.route(logits, { topK: 2, normalize });
      const wide = ops.groupedLinear(ops.gatherRows(x, rows), w, offsets);
      const narrow = ops.groupedLinear(ops.unary('tanh', wide), v, offsets);
      return ops.sumRows(ops.scaleRows(narrow, weights), rows, 6);
    }, [x, router, w, v]);
  });

  test('embedding tables and mean pooling', async () => {
    const [a, b] = [parameter(5, 6), parameter(3, 6)];
    const first = Tensor.from(device, Int32Array.of(1, 4, 1, 0));
    const second = Tensor.from(device, Int32Array.of(0, 0, 2, 1));
    const cu = Tensor.from(device, Int32Array.of(0, 3, 4));
    const embedded = () =>
      ops.embedding(
        [
          { ids: first, table: a },
          { ids: second, table: b },
        ],
        { scale: 1.3 },
      );
    await checkGradients(() => ops.meanPool(embedded(), cu, { lengths: [3, 1] }), [a, b]);
  });

  test('cross-entropy whose gradient comes from above', async () => {
    const [x, head] = [leaf(5, 6), parameter(9, 6)];
    const labels = Tensor.from(device, Int32Array.of(3, -100, 8, 0, 3));
    await checkGradients(() => ops.crossEntropy(x, head, labels, { labelSmoothing: 0 }).nll, [x, head]);
  });
});

test('cross-entropy with its gradients at once equals the one whose gradient comes from above', async () => {
  const run = async (fused: boolean, rowWeights: boolean) => {
    random = new PhiloxStream(5, 1);
    const [x, head] = [leaf(6, 8), parameter(11, 8)];
    const labels = Tensor.from(device, Int32Array.of(3, -100, 10, 0, 3, 7));
    const rowWeight = rowWeights ? Tensor.from(device, [1, 2, 0.5, 0.25, 3, 1]) : undefined;
    using tape = new Tape();
    const { nll } = withTape(tape, () =>
      ops.crossEntropy(x, head, labels, { gradScale: fused ? 0.2 : undefined, rowWeight }),
    );
    if (fused) tape.backward();
    else tape.backward({ tensor: nll, gradient: Tensor.full(device, [6], 0.2) });
    return [await x.grad!.floats(), await head.grad!.floats()] as const;
  };
  for (const rowWeights of [false, true]) {
    const [fused, deferred] = [await run(true, rowWeights), await run(false, rowWeights)];
    fused.forEach((gradient, i) => {
      expect(relativeDifference(gradient, deferred[i]!)).toBeLessThan(1e-5);
    });
  }
});

test('a value used several times gets the sum, and a gradient shared by two values is not written to', async () => {
  const [x, y] = [leaf(3, 4), leaf(3, 4)];
  using tape = new Tape();
  using out = withTape(tape, () => {
    // The gradient of the sum is handed to both sides as one tensor; then each side gets more.
    const sum = ops.add(x, y);
    return ops.add(ops.add(sum, x), ops.add(y, ops.add(y, y)), { beta: 2 });
  });
  using ones = Tensor.full(device, [3, 4], 1);
  tape.backward({ tensor: out, gradient: ones });
  expect(await x.grad!.floats()).toEqual(new Float32Array(12).fill(2));
  expect(await y.grad!.floats()).toEqual(new Float32Array(12).fill(7));
  expect(await ones.floats()).toEqual(new Float32Array(12).fill(1));
});

test('gradients of parameters and leaves add up over passes until they are forgotten', async () => {
  const [x, w] = [leaf(3, 4), parameter(2, 4)];
  const pass = () => {
    using tape = new Tape();
    using out = withTape(tape, () => ops.linear(x, w));
    using ones = Tensor.full(device, [3, 2], 1);
    tape.backward({ tensor: out, gradient: ones });
  };
  pass();
  const once = [await x.grad!.floats(), await w.grad!.floats()] as const;
  pass();
  expect(
    difference(
      await x.grad!.floats(),
      once[0].map((g) => 2 * g),
    ),
  ).toBeLessThan(1e-5);
  expect(
    difference(
      await w.grad!.floats(),
      once[1].map((g) => 2 * g),
    ),
  ).toBeLessThan(1e-5);
  w.zeroGrad();
  expect(w.grad).toBeUndefined();
  pass();
  expect(difference(await w.grad!.floats(), once[1])).toBeLessThan(1e-6);
});

test('what is saved is freed while the backward pass goes on, and nothing is left at its end', async () => {
  const before = device.stats();
  const x = leaf(64, 1024);
  using tape = new Tape();
  let out = withTape(tape, () =>
    scope(() => {
      let y: Tensor = x;
      for (let i = 0; i < 8; i++) y = ops.unary('tanh', y);
      return y;
    }),
  );
  const held = device.stats().transientBytes - before.transientBytes;
  expect(held).toBeGreaterThan(9 * 64 * 1024 * 4 * 0.9);
  device.resetPeak();
  const gradient = Tensor.full(device, [64, 1024], 1);
  tape.backward({ tensor: out, gradient });
  // Two gradients at a time, and what the pass has not come to yet.
  expect(device.stats().peakTransientBytes - before.transientBytes).toBeLessThan(held + 4 * 64 * 1024 * 4);
  out.dispose();
  out = gradient;
  out.dispose();
  x.grad!.dispose();
  x.dispose();
  await device.flush();
  expect(device.stats().transientBytes).toBe(before.transientBytes);
  expect(device.stats().liveTensors).toBe(before.liveTensors);
});

test('without a tape, or when nothing wants a gradient, nothing is recorded', () => {
  using tape = new Tape();
  const plain = draw(3, 4);
  const w = parameter(2, 4);
  w.trainable = false;
  withTape(tape, () => ops.linear(ops.unary('tanh', plain), w).dispose());
  expect(tape.length).toBe(0);
});

test('an output that does not count costs no backward pass', async () => {
  const [x, unused] = [leaf(3, 4), parameter(2, 4)];
  using tape = new Tape();
  using out = withTape(tape, () => {
    ops.linear(x, unused).dispose();
    return ops.unary('tanh', x);
  });
  using ones = Tensor.full(device, [3, 4], 1);
  tape.backward({ tensor: out, gradient: ones });
  expect(unused.grad).toBeUndefined();
  expect(x.grad).toBeDefined();
});

test('a gradient of the wrong size is refused', () => {
  const x = leaf(3, 4);
  using tape = new Tape();
  using out = withTape(tape, () => ops.unary('tanh', x));
  using wrong = Tensor.full(device, [3, 5], 1);
  expect(() => tape.backward({ tensor: out, gradient: wrong })).toThrow(
    'a gradient f32 [3, 5] was given for a tensor f32 [3, 4]',
  );
});

describe('a checkpoint', () => {
  const block = (w: Parameter, keys: RandomKeys) => (x: Tensor) =>
    ops.dropout(ops.unary('tanh', ops.linear(ops.unary('gelu', x), w)), 0.3, keys.next());

  test('gives the gradients of the plain pass and keeps only its input', async () => {
    const run = async (recompute: boolean) => {
      random = new PhiloxStream(21, 1);
      const [x, first, second] = [leaf(8, 16), parameter(16, 16), parameter(16, 16)];
      const keys = new RandomKeys(4);
      const blocks = [first, second].map((w) => block(w, keys));
      using tape = new Tape();
      using out = withTape(tape, () =>
        blocks.reduce<Tensor>((y, fn) => (recompute ? checkpoint((t) => fn(t!), [y], { random: keys }) : fn(y)), x),
      );
      const { length } = tape;
      using ones = Tensor.full(device, [8, 16], 1);
      tape.backward({ tensor: out, gradient: ones });
      expect(keys.save()).toBe(2);
      return { length, gradients: [await x.grad!.floats(), await first.grad!.floats(), await second.grad!.floats()] };
    };
    const [plain, recomputed] = [await run(false), await run(true)];
    expect(plain.length).toBe(8);
    expect(recomputed.length).toBe(2);
    expect(recomputed.gradients).toEqual(plain.gradients);
  });

  test('nested in another works the same', async () => {
    const run = async (nested: boolean) => {
      random = new PhiloxStream(22, 1);
      const [x, w] = [leaf(4, 8), parameter(8, 8)];
      const inner = (t: Tensor) => ops.unary('tanh', ops.linear(t, w));
      const outer = (t: Tensor) => inner(nested ? checkpoint((u) => inner(u!), [t]) : inner(t));
      using tape = new Tape();
      using out = withTape(tape, () => (nested ? checkpoint((t) => outer(t!), [x]) : outer(x)));
      using ones = Tensor.full(device, [4, 8], 1);
      tape.backward({ tensor: out, gradient: ones });
      return [await x.grad!.floats(), await w.grad!.floats()];
    };
    expect(await run(true)).toEqual(await run(false));
  });
});
