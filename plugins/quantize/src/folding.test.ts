import { fileURLToPath } from 'node:url';
import { asCausal, createModel, type Device, openDevice, packSequences, scope, Tensor } from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foldingOf, rotateValues, spread } from './folding.js';

const SIZES = {
  vocab_size: 60,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  initializer_range: 0.3,
};
const llamaLike = (model_type: string, more: object = {}) => ({ ...SIZES, model_type, rms_norm_eps: 1e-6, ...more });

/** One of every architecture whose layers can be quantised, and how many of its inputs can be scaled. */
const ARCHITECTURES: [string, Record<string, unknown>, number][] = [
  ['llama', llamaLike('llama', { attention_bias: true, mlp_bias: true }), 4],
  ['mistral', llamaLike('mistral'), 4],
  ['qwen2', llamaLike('qwen2'), 4],
  ['qwen3', llamaLike('qwen3', { head_dim: 8 }), 4],
  ['phi3', llamaLike('phi3', { pad_token_id: 0 }), 4],
  ['gemma2', llamaLike('gemma2', { head_dim: 8, query_pre_attn_scalar: 8, sliding_window: 16 }), 4],
  ['gemma3_text', llamaLike('gemma3_text', { head_dim: 8, query_pre_attn_scalar: 8, sliding_window: 16 }), 4],
  ['gpt_neox', { ...SIZES, model_type: 'gpt_neox', hidden_act: 'gelu', rotary_pct: 0.5 }, 3],
];

let device: Device;
beforeAll(() => {
  device = openDevice({
    library: fileURLToPath(new URL('../../backend-cpu/build/liblargeforge_cpu.so', import.meta.url)),
    threads: 2,
  });
});
afterAll(() => device[Symbol.dispose]());

describe('scales that are folded into what makes the inputs', () => {
  it.each(ARCHITECTURES)('leave what a model computes as it was: %s', async (_, config, places) => {
    using model = asCausal(createModel(device, config));
    const batch = packSequences([Int32Array.from({ length: 20 }, (_, i) => (i * 7) % 60)]);
    const logits = () => scope(() => model.logits(model.hidden(batch))).floats();
    const before = (await logits()).slice();
    const groups = new Map<number, (typeof linears)[number][]>();
    const linears = [...model.linears.values()];
    for (const linear of linears) linear.observer = (x) => void groups.set(x.id, [...(groups.get(x.id) ?? []), linear]);
    await logits();
    for (const linear of linears) linear.observer = undefined;
    let folded = 0;
    for (const consumers of groups.values()) {
      const folding = foldingOf(model, 0, consumers);
      if (!folding) continue;
      folded++;
      const scales = Float32Array.from({ length: folding.channels }, (_, c) => 0.5 + ((c * 13) % 7) / 4);
      const columns = spread(await folding.divide(scales), folding.channelOf);
      for (const { weight, inFeatures } of consumers) {
        using own = weight.toFloat32();
        const values = await own.floats();
        using scaled = Tensor.from(
          device,
          values.map((value, i) => value * columns[i % inFeatures]!),
          weight.shape,
        );
        weight.assign(scaled);
      }
    }
    expect(folded).toBe(places);
    const after = await logits();
    const largest = Math.max(...before.map(Math.abs));
    after.forEach((logit, i) => {
      expect(Math.abs(logit - before[i]!) / largest).toBeLessThan(2e-5);
    });
  });

  it.each(ARCHITECTURES)('values that are turned leave it so, too: %s', async (_, config) => {
    using model = asCausal(createModel(device, config));
    const batch = packSequences([Int32Array.from({ length: 20 }, (_, i) => (i * 7) % 60)]);
    const logits = () => scope(() => model.logits(model.hidden(batch))).floats();
    const before = (await logits()).slice();
    const { weight } = [...model.linears.values()].find(({ name }) =>
      name.endsWith(model.config.modules.attentionOutput),
    )!;
    const valuesOf = async () => {
      using copy = weight.toFloat32();
      return (await copy.floats()).slice();
    };
    const values = await valuesOf();
    expect(await rotateValues(model, 0)).toBe(true);
    expect(await valuesOf()).not.toEqual(values);
    const after = await logits();
    const largest = Math.max(...before.map(Math.abs));
    after.forEach((logit, i) => {
      expect(Math.abs(logit - before[i]!) / largest).toBeLessThan(2e-5);
    });
    // A Hadamard matrix is its own inverse.
    await rotateValues(model, 0);
    (await valuesOf()).forEach((value, i) => {
      expect(value).toBeCloseTo(values[i]!, 5);
    });
  });

  it('are not folded where a reader would not follow', () => {
    using model = asCausal(createModel(device, ARCHITECTURES[0]![1]));
    const linear = (name: string) => model.linears.get(`model.layers.0.${name}`)!;
    expect(foldingOf(model, 0, [linear('self_attn.q_proj'), linear('self_attn.v_proj')])).toBeUndefined();
    expect(foldingOf(model, 0, [linear('mlp.gate_proj')])).toBeUndefined();
    expect(foldingOf(model, 0, [linear('mlp.down_proj')])).toBeDefined();
  });
});
