import backendCpu from '@largeforge/backend-cpu';
import { type PluginTest, testPlugin } from '@largeforge/core/testing';
import data from '@largeforge/data';
import {
  asCausal,
  type CausalLanguageModel,
  createModel,
  type Device,
  openDevice,
  scope,
  Tape,
  type TokenBatch,
  tokenBatch,
  withTape,
} from '@largeforge/engine';
import trainerSft from '@largeforge/trainer-sft';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import plugin from './index.js';

let test: PluginTest;
let device: Device;
let model: CausalLanguageModel;

beforeAll(async () => {
  test = await testPlugin(plugin, { plugins: [backendCpu, data, trainerSft] });
  device = openDevice(await test.get('backend', 'cpu'));
  const config = {
    model_type: 'llama',
    vocab_size: 20,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 2,
    max_position_embeddings: 32,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    initializer_range: 0.4,
  };
  model = asCausal(createModel(device, config, { dtype: 'f32', seed: 5 }));
  model.setTrainable(true);
});

afterAll(async () => {
  model.dispose();
  device[Symbol.dispose]();
  await test.dispose();
});

const batch: TokenBatch = tokenBatch([
  { tokens: Int32Array.of(3, 7, 7, 1, 12, 19), mask: Uint8Array.of(0, 0, 1, 1, 1, 1) },
  { tokens: Int32Array.of(5, 2, 9), mask: Uint8Array.of(0, 1, 1) },
]);

/** The loss and its metric at each position, and -log p there. */
async function compute(gamma?: number) {
  const definition = await test.get('loss', 'focal');
  const loss = definition.create(definition.options.parse(gamma === undefined ? {} : { gamma }) as never);
  using tape = new Tape();
  const tensors = scope(() =>
    withTape(tape, () => {
      const hidden = model.hidden(batch);
      const { values, metrics } = loss.compute({
        hidden,
        batch,

        labels: undefined as never,
        scale: 1,
        crossEntropy: (options) => model.crossEntropy(hidden, batch.labels, options),
      });
      const { nll } = model.crossEntropy(hidden, batch.labels);
      return [values, metrics?.['focal weight'], nll] as const;
    }),
  );
  const [values, slope, nll] = await Promise.all(tensors.map((tensor) => tensor?.floats()));
  return { values: [...values!], slope: [...slope!], nll: [...nll!] };
}

describe('focal loss', () => {
  it('is (1 - p)^gamma times -log p, and counts nothing where there is no target', async () => {
    const { values, nll } = await compute(3);
    expect(nll.filter((loss) => loss > 0)).toHaveLength(batch.targets);
    for (const [t, loss] of nll.entries()) expect(values[t]).toBeCloseTo((1 - Math.exp(-loss)) ** 3 * loss, 5);
  });

  it.each([1, 2, 5])('weighs gradients by its derivative (gamma %i)', async (gamma) => {
    const { slope, nll } = await compute(gamma);
    const focal = (loss: number) => (1 - Math.exp(-loss)) ** gamma * loss;
    for (const [t, label] of batch.labels.entries()) {
      if (label < 0) continue;
      const numeric = (focal(nll[t]! + 1e-4) - focal(nll[t]! - 1e-4)) / 2e-4;
      expect(slope[t]).toBeCloseTo(numeric, 4);
    }
  });

  it('is cross-entropy when gamma is 0, and has a gamma of 2 unless told', async () => {
    const plain = await compute(0);
    expect(plain.values).toEqual(plain.nll);
    expect(await compute()).toEqual(await compute(2));
  });

  it('refuses what it cannot be', async () => {
    const { options } = await test.get('loss', 'focal');
    expect(options.safeParse({ gamma: -1 }).success).toBe(false);
    expect(options.safeParse({ gama: 2 }).success).toBe(false);
  });
});
