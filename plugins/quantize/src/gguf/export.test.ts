import { existsSync, readFileSync } from 'node:fs';
import { readGguf, readModelSource } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { Quantizing } from '../quantize.fixture.js';
import { blockTypeOf, ggufRecipes } from './block-types.js';

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

describe('a GGUF file', () => {
  // 160 and 448 are no multiples of 256: what llama.cpp falls back to is what these get.
  it.each([
    ['q8_0', 'q8_0', 1e-3],
    ['q6_k', 'q8_0', 1e-3],
    ['q4_k_m', 'q5_0', 0.02],
    ['q4_1', 'q4_1', 0.1],
    ['q4_0', 'q4_0', 0.1],
  ] as const)('%s predicts like the original, its matrices as %s', async (type, stored, kl) => {
    await using quantizing = await Quantizing.start();
    const outputs = await quantizing.run('gguf', { type });
    const file = readGguf(outputs.model as string);
    expect(file.tensors.get('blk.3.attn_q.weight')!.dtype).toBe(stored);
    expect(file.tensors.get('token_embd.weight')!.dtype).toBe('q8_0');
    expect(file.tensors.get('blk.0.attn_norm.weight')!.dtype).toBe('f32');
    const { comparison, facts } = json(outputs.report as string);
    expect(comparison.kl).toBeLessThan(kl);
    if (type === 'q4_k_m') expect(Object.fromEntries(facts).tensors).toMatch(/\d+ q5_0 instead of q4_k/);
  });

  it('carries the tokenizer', async () => {
    await using quantizing = await Quantizing.start();
    const { model } = await quantizing.run('gguf', { type: 'q8_0', calibration: undefined });
    const { tokenizer, config } = readModelSource(model as string);
    expect((tokenizer!.tokenizer as { model: { vocab: object } }).model.vocab).toHaveProperty('<|im_start|>', 1);
    expect(tokenizer!.config.eos_token).toBe('<|im_end|>');
    expect(config).toMatchObject({ hidden_size: 160, num_key_value_heads: 2, head_dim: 40, rope_theta: 10000 });
  });

  it('loses less where activations weigh the errors', async () => {
    await using quantizing = await Quantizing.start();
    const gate = { dataset: quantizing.path('calibration.txt'), windows: 40 };
    const lost = [];
    for (const calibration of ['calibration.txt', undefined]) {
      const { report } = await quantizing.run('gguf', {
        ...{ type: 'q4_0', gate },
        ...(calibration === undefined ? { calibration } : { samples: 40 }),
      });
      lost.push(json(report as string).comparison.kl);
    }
    expect(lost[0]).toBeLessThan(lost[1]!);
  });

  it('leaves nothing behind when it fails its gate', async () => {
    await using quantizing = await Quantizing.start();
    await expect(quantizing.run('gguf', { type: 'q4_0', gate: { maxKl: 1e-6 } })).rejects.toThrow(/gate/);
    expect(existsSync(quantizing.path('out'))).toBe(false);
  });
});

describe('types of tensors', () => {
  const model = { layers: 8, tied: false };
  it('are those of the recipe, with more bits where mistakes cost most', () => {
    const type = (part: string, layer: number | undefined) =>
      blockTypeOf('q4_k_m', { part, layer, width: 512 }, model).dtype;
    expect([type('attn_q', 0), type('attn_v', 0), type('attn_v', 1), type('ffn_down', 7)]).toEqual([
      ...['q4_k', 'q6_k', 'q4_k', 'q6_k'],
    ]);
    expect([type('output', undefined), type('token_embd', undefined)]).toEqual(['q6_k', 'q4_k']);
    expect(
      blockTypeOf('q4_k_s', { part: 'token_embd', layer: undefined, width: 512 }, { ...model, tied: true }).dtype,
    ).toBe('q6_k');
  });

  it.each(ggufRecipes)('of %s hold every width', (recipe) => {
    for (const width of [256, 288, 100]) {
      const { dtype, instead } = blockTypeOf(recipe, { part: 'attn_q', layer: 0, width }, model);
      if (width === 256) expect(instead).toBeUndefined();
      if (width === 100) expect(dtype).toBe('f16');
      if (width === 288) expect(['q8_0', 'q5_0', 'q4_0', 'q4_1']).toContain(dtype);
    }
  });
});
