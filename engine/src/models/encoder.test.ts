import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape, withTape } from '../autograd/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { meanPool } from '../ops/pool.js';
import { Tensor } from '../tensor/index.js';
import { packSequences } from './batch.js';
import type { EncoderConfig } from './config.js';
import { BertModel } from './encoder.js';
import { difference, golden, goldenFiles, relativeDifference } from './golden.fixture.js';
import { loadModelFiles, parseModelConfig } from './load.js';
import type { EncoderModel } from './model.js';
import { FileWeights } from './weights.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

function load(change: Partial<EncoderConfig> = {}): EncoderModel {
  const files = goldenFiles('bert');
  const config = { ...(parseModelConfig(files.config) as EncoderConfig), ...change };
  return new BertModel(device, 'f32', config, new FileWeights(device, 'f32', files, 'bert.'));
}

test('hidden states and embeddings equal those of transformers', async () => {
  const expected = golden('bert');
  using model = loadModelFiles(device, goldenFiles('bert'), { dtype: 'f32' }) as EncoderModel;
  using hidden = model.hidden(expected.batch);
  expect(difference(await hidden.floats(), expected.floats('hidden'))).toBeLessThan(1e-4);
  using pooled = model.embed(expected.batch, { normalize: false });
  expect(difference(await pooled.floats(), expected.floats('pooled'))).toBeLessThan(1e-4);
  using normalized = model.embed(expected.batch);
  expect(difference(await normalized.floats(), expected.floats('normalized'))).toBeLessThan(1e-4);
});

test('with matrices rounded to 8 bits embeddings hardly turn', async () => {
  const { batch, lengths } = golden('bert');
  const embedded = async (weights?: 'q8_0') => {
    using model = loadModelFiles(device, goldenFiles('bert'), { dtype: 'bf16', weights }) as EncoderModel;
    using vectors = model.embed(batch);
    return vectors.floats();
  };
  const [exact, rounded] = [await embedded(), await embedded('q8_0')];
  expect(rounded).not.toEqual(exact);
  const size = exact.length / lengths.length;
  for (let row = 0; row < lengths.length; row++) {
    let cosine = 0;
    for (let i = row * size; i < (row + 1) * size; i++) cosine += exact[i]! * rounded[i]!;
    expect(cosine).toBeGreaterThan(0.999);
  }
});

test.each([false, true])('gradients equal those of transformers, checkpointing %s', async (checkpointing) => {
  const expected = golden('bert');
  using model = load();
  model.setTrainable(true);
  using tape = new Tape();
  using weight = Tensor.from(device, expected.floats('weight'), [expected.lengths.length, 32]);
  using pooled = withTape(tape, () => {
    using hidden = model.hidden(expected.batch, { checkpointing });
    using cu = Tensor.from(device, expected.batch.cuSeqlens);
    return meanPool(hidden, cu, { lengths: expected.lengths });
  });
  tape.backward({ tensor: pooled, gradient: weight });
  expect([...model.parameters().keys()].sort()).toEqual([...expected.gradients.keys()].sort());
  for (const [name, parameter] of model.parameters()) {
    // A constant added to every key of a query shifts all its scores alike: that gradient is zero but for rounding.
    if (name.endsWith('attention.self.key.bias')) continue;
    expect(relativeDifference(await parameter.grad!.floats(), expected.gradients.get(name)!), name).toBeLessThan(1e-4);
  }
});

describe('the comparison fails without', () => {
  const differs = async (change: Partial<EncoderConfig>) => {
    const expected = golden('bert');
    using model = load(change);
    using hidden = model.hidden(expected.batch);
    return difference(await hidden.floats(), expected.floats('hidden'));
  };
  test('the exact gelu', async () => expect(await differs({ activation: 'relu' })).toBeGreaterThan(1e-2));
  test('the epsilon', async () => expect(await differs({ normEps: 1e-1 })).toBeGreaterThan(1e-3));
  test.each(['position_embeddings', 'token_type_embeddings', 'attention.output.dense.bias', 'LayerNorm.bias'])(
    '%s',
    async (part) => {
      const expected = golden('bert');
      using model = load();
      for (const [name, parameter] of model.parameters()) {
        if (!name.includes(part)) continue;
        using zeros = Tensor.zeros(device, parameter.shape);
        parameter.assign(zeros);
      }
      using hidden = model.hidden(expected.batch);
      expect(difference(await hidden.floats(), expected.floats('hidden'))).toBeGreaterThan(1e-2);
    },
  );
});

test('attention sees later tokens, but no other sequence', async () => {
  const { sequences } = golden('bert');
  using model = load();
  const rows = async (first: Int32Array) => {
    using hidden = model.hidden(packSequences([first, sequences[1]!]));
    return hidden.floats();
  };
  const changed = sequences[0]!.slice();
  changed[10] = (changed[10]! + 1) % 64;
  const [a, b] = [await rows(sequences[0]!), await rows(changed)];
  expect(difference(a.subarray(0, 32), b.subarray(0, 32))).toBeGreaterThan(1e-3);
  expect(a.subarray(11 * 32)).toEqual(b.subarray(11 * 32));
});

test('a sequence beyond the learnt positions is refused', () => {
  using model = load();
  expect(() => model.hidden(packSequences([new Int32Array(33)]))).toThrow(/33 tokens exceeds the model's 32 positions/);
});
