import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import {
  bytesOf,
  dequantize,
  encodeScales,
  packWeight,
  type QuantizedLayout,
  type QuantizedWeight,
  type TensorToWrite,
  writeJson,
  writeWeights,
} from '../formats/index.js';
import { nextTokenObjective } from '../training/next-token.js';
import { tinyOptions, tinyRows } from '../training/tiny-run.fixture.js';
import { train } from '../training/train.js';
import { keepFrozenWeights } from './frozen-weights.js';
import { asCausal, createModel } from './load.js';
import { attachLora } from './lora/index.js';
import { loadModel } from './open.js';
import { parameterToWrite } from './save.js';

const CONFIG = {
  model_type: 'llama',
  vocab_size: 40,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  initializer_range: 0.2,
};
const LAYER = 'model.layers.0.mlp.gate_proj';

const WEIGHT: QuantizedWeight = {
  outFeatures: 64,
  inFeatures: 32,
  bits: 4,
  groups: 2,
  codes: Uint8Array.from({ length: 64 * 32 }, (_, i) => (i * 7 + (i >> 4)) % 16),
  scales: Float32Array.from({ length: 128 }, (_, i) => (1 + (i % 13)) / 64),
  zeros: Uint16Array.from({ length: 128 }, (_, i) => 1 + (i % 15)),
};

function packedTensors(layout: QuantizedLayout): TensorToWrite[] {
  const { codes, zeros } = packWeight(WEIGHT, layout);
  const { scales, outFeatures: n, groups: g } = WEIGHT;
  const tensor = (name: string, shape: number[], data: Int32Array): TensorToWrite => ({
    name: `${LAYER}.${name}`,
    dtype: 'i32',
    shape,
    bytes: () => bytesOf(data),
  });
  const f16 = (name: string, shape: number[], data: Float32Array): TensorToWrite => ({
    name: `${LAYER}.${name}`,
    dtype: 'f16',
    shape,
    bytes: () => encodeScales(data, 'f16'),
  });
  if (layout === 'pack-quantized') {
    return [
      tensor('weight_packed', [n, 4], codes),
      f16('weight_scale', [n, g], scales),
      tensor('weight_zero_point', [n / 8, g], zeros!),
    ];
  }
  const turned = scales.map((_, i) => scales[(i % n) * g + Math.floor(i / n)]!);
  return [
    tensor('qweight', layout === 'awq' ? [32, 8] : [4, n], codes),
    f16('scales', [g, n], turned),
    tensor('qzeros', [g, n / 8], zeros!),
  ];
}

const group = { weights: { num_bits: 4, type: 'int', group_size: 16 } };
const SCHEMES: [QuantizedLayout, Record<string, unknown>][] = [
  ['gptq', { quant_method: 'gptq', bits: 4, group_size: 16, checkpoint_format: 'gptq' }],
  ['gptq_v2', { quant_method: 'gptq', bits: 4, group_size: 16, checkpoint_format: 'gptq_v2' }],
  ['awq', { quant_method: 'awq', bits: 4, group_size: 16, version: 'gemm' }],
  [
    'pack-quantized',
    { quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: { group_0: group } },
  ],
];

describe('a quantised checkpoint', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'largeforge-quantized-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function write(tensors: TensorToWrite[], quantization: Record<string, unknown>): Promise<void> {
    using device = cpuDevice();
    using model = createModel(device, CONFIG);
    const rest = [...model.parameters()].filter(([name]) => name !== `${LAYER}.weight`);
    await writeWeights(folder, [
      ...rest.map(([name, parameter]) => parameterToWrite(name, parameter, 'f32')),
      ...tensors,
    ]);
    writeJson(join(folder, 'config.json'), { ...CONFIG, quantization_config: quantization });
  }

  it.each(SCHEMES)('is loaded as the values that it stands for: %s', async (layout, scheme) => {
    await write(packedTensors(layout), scheme);
    using device = cpuDevice();
    using model = await loadModel(device, folder, { dtype: 'f32' });
    using values = model.parameters().get(`${LAYER}.weight`)!.toFloat32();
    expect(await values.floats()).toEqual(dequantize(WEIGHT));
  });

  it.each(SCHEMES)('keeps its codes while an adapter is trained beside it: %s', async (layout, scheme) => {
    await write(packedTensors(layout), scheme);
    using device = cpuDevice();
    const losses = async (coded: boolean) => {
      using model = asCausal(await loadModel(device, folder, { dtype: 'f32' }));
      // Codes of 4 bits, scales in f32 and zeros in a byte for each group of 16.
      const bytes = coded && (await keepFrozenWeights(model, 'as-stored'));
      if (coded) expect(bytes).toBe((64 * 32) / 2 + 128 * (4 + 1));
      attachLora(model, { r: 4, seed: 1 });
      const { losses } = await train({
        model,
        objective: nextTokenObjective(model),
        rows: tinyRows(8),
        options: tinyOptions({ maxSteps: 4, optimizer: { learningRate: 0.05 } }),
      });
      expect(model.linears.get(LAYER)!.weight.codeBytes > 0).toBe(coded);
      return losses;
    };
    const [inCodes, asFloats] = [await losses(true), await losses(false)];
    inCodes.forEach((loss, step) => {
      expect(loss).toBeCloseTo(asFloats[step]!, 5);
    });
  });

  it('says which layer lacks a tensor', async () => {
    await write(packedTensors('gptq').slice(0, 1), SCHEMES[0]![1]);
    using device = cpuDevice();
    await expect(loadModel(device, folder)).rejects.toMatchObject({
      code: 'LF_ENGINE_FILE_CORRUPT',
      message: expect.stringContaining(LAYER),
    });
  });

  it('refuses groups in an order that it cannot read', async () => {
    const order = Int32Array.from({ length: 32 }, (_, i) => i % 2);
    const [layout, scheme] = SCHEMES.find(([name]) => name === 'pack-quantized')!;
    const index: TensorToWrite = {
      name: `${LAYER}.weight_g_idx`,
      dtype: 'i32',
      shape: [32],
      bytes: () => new Uint8Array(order.buffer),
    };
    await write([...packedTensors(layout), index], scheme);
    using device = cpuDevice();
    await expect(loadModel(device, folder)).rejects.toMatchObject({
      code: 'LF_ENGINE_FILE_UNSUPPORTED',
      message: expect.stringContaining('weight_g_idx'),
    });
  });

  it('says which scheme it does not know', async () => {
    await write(packedTensors('gptq'), { quant_method: 'bitsandbytes' });
    using device = cpuDevice();
    await expect(loadModel(device, folder)).rejects.toMatchObject({
      code: 'LF_ENGINE_FILE_UNSUPPORTED',
      message: expect.stringContaining('bitsandbytes'),
    });
  });
});
