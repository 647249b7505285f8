import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readModelSource, readSafetensors, writeSafetensors } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { Quantizing, tinyBase } from './quantize.fixture.js';

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

const RULES = [
  { match: 'layers\\.0\\.', keep: true },
  { match: 'down_proj$', bits: 8 },
  { match: 'v_proj', groupSize: 16 },
];

/** The tiny base with a head of its own, equal to the embeddings. */
async function untied(folder: string): Promise<string> {
  mkdirSync(folder);
  for (const name of readdirSync(tinyBase)) copyFileSync(join(tinyBase, name), join(folder, name));
  const source = join(tinyBase, 'model.safetensors');
  const content = readFileSync(source);
  const tensors = [...readSafetensors(source).tensors.values()].map(({ name, dtype, shape, offset, bytes }) => ({
    ...{ name, dtype, shape },
    bytes: () => content.subarray(offset, offset + bytes),
  }));
  const head = { ...tensors.find(({ name }) => name === 'model.embed_tokens.weight')!, name: 'lm_head.weight' };
  await writeSafetensors(join(folder, 'model.safetensors'), [...tensors, head]);
  const config = { ...json(join(folder, 'config.json')), tie_word_embeddings: false };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}

describe('layers that are treated differently', () => {
  it('says so as GPTQModel does, and loads again', async () => {
    await using quantizing = await Quantizing.start();
    const outputs = await quantizing.run('rtn', { modules: RULES });
    const folder = outputs.model as string;
    const { dynamic, bits, checkpoint_format } = json(join(folder, 'config.json')).quantization_config;
    expect(json(join(folder, 'quantize_config.json')).dynamic).toEqual(dynamic);
    expect({ bits, checkpoint_format }).toEqual({ bits: 4, checkpoint_format: 'gptq' });
    expect(dynamic['-:^model\\.layers\\.0\\.mlp\\.up_proj$']).toEqual({});
    expect(dynamic['+:^model\\.layers\\.3\\.mlp\\.down_proj$']).toEqual({ bits: 8, group_size: 32, sym: true });
    expect(dynamic['+:^model\\.layers\\.3\\.self_attn\\.v_proj$']).toEqual({ bits: 4, group_size: 16, sym: true });
    const { tensors } = readSafetensors(join(folder, 'model.safetensors'));
    expect(tensors.get('model.layers.0.mlp.down_proj.weight')!.shape).toEqual([160, 448]);
    expect(tensors.get('model.layers.1.mlp.down_proj.qweight')!.shape).toEqual([448 / 4, 160]);
    expect(tensors.get('model.layers.1.mlp.up_proj.qweight')!.shape).toEqual([160 / 8, 448]);
    const report = json(outputs.report as string);
    expect(report.layers).toHaveLength(5 * 7);
    expect(report.comparison.kl).toBeLessThan(0.1);
  });

  it('says so as compressed-tensors does, and loads again', async () => {
    await using quantizing = await Quantizing.start();
    const outputs = await quantizing.run('rtn', { modules: RULES, format: 'compressed-tensors', symmetric: false });
    const config = json(join(outputs.model as string, 'config.json')).quantization_config;
    expect(config.ignore).toContain('model.layers.0.mlp.up_proj');
    const [all, values, down] = Object.values(config.config_groups) as { targets: string[]; weights: object }[];
    expect(all).toMatchObject({ targets: ['Linear'], weights: { num_bits: 4, group_size: 32, symmetric: false } });
    expect(down).toMatchObject({ weights: { num_bits: 8, group_size: 32 } });
    expect(down!.targets).toHaveLength(5);
    expect(values).toMatchObject({ weights: { num_bits: 4, group_size: 16 } });
    expect(json(outputs.report as string).comparison.kl).toBeLessThan(0.1);
  });

  it('quantises a head of its own', async () => {
    await using quantizing = await Quantizing.start();
    const model = await untied(quantizing.path('untied'));
    const outputs = await quantizing.run('rtn', { model, lmHead: true, bits: 8 });
    const folder = outputs.model as string;
    expect(json(join(folder, 'config.json')).quantization_config.lm_head).toBe(true);
    expect(readModelSource(folder).tensors.get('lm_head.weight')!.quantized).toBeDefined();
    expect(json(outputs.report as string).comparison.kl).toBeLessThan(1e-2);
  });

  it.each([
    [{ lmHead: true }, /head shares its weights with the embeddings/],
    [{ modules: [{ match: 'nowhere' }] }, /no layer has a name that nowhere matches/],
    [{ modules: [{ match: '(' }] }, /\( is no regular expression/],
    [{ modules: [{ match: 'down_proj', bits: 8 }], format: 'awq' }, /the format awq holds 4 bits, not 8/],
    [{ modules: [{ match: 'v_proj', groupSize: 16 }], format: 'awq' }, /one group size/],
    [{ modules: [{ match: 'v_proj', groupSize: 24 }] }, /a group size of 24 does not divide the 160 inputs/],
  ])('refuses what cannot be: %o', async (options, message) => {
    await using quantizing = await Quantizing.start();
    await expect(quantizing.run('rtn', options)).rejects.toThrow(message);
  });
});
