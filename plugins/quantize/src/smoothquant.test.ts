import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readModelSource, readSafetensors, writeSafetensors } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { Quantizing, tinyBase } from './quantize.fixture.js';
import { smoothingScales } from './smoothquant.js';

const json = (file: string | URL) => JSON.parse(readFileSync(file, 'utf8'));

interface Golden {
  readonly alpha: number;
  readonly inputs: number[];
  readonly weights: number[];
  readonly scales: number[];
}

/** The tiny base with some channels of its norms 100 times larger, and the weights that read them as much smaller. */
async function withOutliers(folder: string): Promise<string> {
  mkdirSync(folder);
  for (const name of readdirSync(tinyBase)) copyFileSync(join(tinyBase, name), join(folder, name));
  const source = join(tinyBase, 'model.safetensors');
  const content = readFileSync(source);
  const readers = /(q_proj|k_proj|v_proj|gate_proj|up_proj)\.weight$/;
  const tensors = [...readSafetensors(source).tensors.values()].map(({ name, dtype, shape, offset, bytes }) => {
    const own = content.subarray(offset, offset + bytes);
    const factor = /layers.*layernorm\.weight$/.test(name) ? 100 : readers.test(name) ? 1 / 100 : 1;
    if (factor === 1) return { name, dtype, shape, bytes: () => own };
    expect(dtype).toBe('bf16');
    const halves = new Uint16Array(own.buffer.slice(own.byteOffset, own.byteOffset + bytes));
    const columns = shape.at(-1)!;
    const value = new Float32Array(1);
    const word = new Uint32Array(value.buffer);
    halves.forEach((half, i) => {
      if ((i % columns) % 40 !== 0) return;
      word[0] = half << 16;
      value[0]! *= factor;
      halves[i] = Math.round(word[0]! / 2 ** 16);
    });
    return { name, dtype, shape, bytes: () => new Uint8Array(halves.buffer) };
  });
  await writeSafetensors(join(folder, 'model.safetensors'), tensors);
  return folder;
}

describe('SmoothQuant', () => {
  it.each(json(new URL('../fixtures/smoothquant.json', import.meta.url)) as Golden[])(
    'has the scales of llm-compressor: alpha $alpha',
    ({ alpha, inputs, weights, scales }) => {
      const found = smoothingScales(Float32Array.from(inputs), Float32Array.from(weights), alpha);
      found.forEach((scale, c) => {
        expect(scale / scales[c]!).toBeCloseTo(1, 5);
      });
    },
  );

  it('writes bytes with a scale for each row, and asks for inputs of 8 bits', async () => {
    await using quantizing = await Quantizing.start();
    const outputs = await quantizing.run('smoothquant', { dtype: 'bf16' });
    const folder = outputs.model as string;
    const { quantization_config: config } = json(join(folder, 'config.json'));
    expect(config).toMatchObject({
      quant_method: 'compressed-tensors',
      format: 'int-quantized',
      ignore: ['lm_head'],
      config_groups: {
        group_0: {
          targets: ['Linear'],
          weights: { num_bits: 8, type: 'int', symmetric: true, strategy: 'channel', dynamic: false },
          input_activations: { num_bits: 8, type: 'int', symmetric: true, strategy: 'token', dynamic: true },
        },
      },
    });
    const { tensors } = readSafetensors(join(folder, 'model.safetensors'));
    expect(tensors.get('model.layers.0.mlp.up_proj.weight')).toMatchObject({ dtype: 'i8', shape: [448, 160] });
    expect(tensors.get('model.layers.0.mlp.up_proj.weight_scale')).toMatchObject({ dtype: 'bf16', shape: [448, 1] });
    expect(readModelSource(folder).tensors.get('model.layers.0.mlp.up_proj.weight')!.quantized!.layout).toBe(
      'int-quantized',
    );
    const report = json(outputs.report as string);
    expect(report.comparison.kl).toBeLessThan(5e-3);
    expect(outputs.bitsPerWeight).toBeCloseTo(8 + 16 / 160, 0);
  });

  it('keeps predictions where some channels stand out', async () => {
    await using quantizing = await Quantizing.start();
    const model = await withOutliers(quantizing.path('outliers'));
    const kl = async (use: string, own: object = {}) => {
      const outputs = await quantizing.run(use, { model, dtype: 'bf16', outputDir: quantizing.path(use), ...own });
      return json(outputs.report as string).comparison.kl as number;
    };
    // Weights of 8 bits in groups of 32, with inputs that are not rounded at all.
    const plain = await kl('rtn', { bits: 8 });
    const compensated = await kl('smoothquant');
    expect(compensated).toBeLessThan(0.5 * plain);
    expect(compensated).toBeLessThan(await kl('smoothquant', { rounding: 'nearest' }));
  });

  it('leaves a norm alone that others read too, and refuses other formats', async () => {
    await using quantizing = await Quantizing.start();
    const outputs = await quantizing.run('smoothquant', { modules: [{ match: 'k_proj', keep: true }], dtype: 'bf16' });
    const norm = (folder: string) => {
      const file = join(folder, 'model.safetensors');
      const { offset, bytes } = readSafetensors(file).tensors.get('model.layers.1.input_layernorm.weight')!;
      return readFileSync(file).subarray(offset, offset + bytes);
    };
    expect(norm(outputs.model as string).equals(norm(tinyBase))).toBe(true);
    await expect(quantizing.run('smoothquant', { format: 'gptq' })).rejects.toThrow(/format/);
    await expect(quantizing.run('smoothquant', { groupSize: 32 })).rejects.toThrow(/groupSize/);
  });
});
