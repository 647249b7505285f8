import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape, withTape } from '../autograd/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import type { DType } from '../device/dtype.js';
import type { TensorEntry } from '../formats/model-source.js';
import { difference, fixture, golden, goldenFiles, readTensors, relativeDifference } from './golden.fixture.js';
import { asCausal, type LoadOptions, loadModelFiles } from './load.js';
import type { WeightFiles } from './weights.js';

let device: Device;
let folder: string;
let files: Record<'q8_0' | 'q4_0', WeightFiles>;
beforeAll(() => {
  device = cpuDevice();
  folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
  files = { q8_0: quantisedFiles('q8_0'), q4_0: quantisedFiles('q4_0') };
});
afterAll(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

/** f16 bits of a scale, towards zero; scales here are normal numbers. */
function halfBits(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return ((bits >>> 13) - (112 << 10)) & 0x7fff;
}
function halfValue(bits: number): number {
  return new Float32Array(Uint32Array.of((bits << 13) + (112 << 23)).buffer)[0]!;
}

/** Blocks of 32 with an f16 scale and signed codes: ggml's block_q8_0 and block_q4_0. */
function quantise(values: Float32Array, dtype: 'q8_0' | 'q4_0'): Uint8Array<ArrayBuffer> {
  const most = dtype === 'q8_0' ? 127 : 7;
  const size = dtype === 'q8_0' ? 34 : 18;
  const out = new Uint8Array((values.length / 32) * size);
  for (let b = 0; b < values.length / 32; b++) {
    const block = values.subarray(32 * b, 32 * b + 32);
    const bits = halfBits(Math.max(1e-4, ...block.map(Math.abs)) / most);
    const codes = Array.from(block, (v) => Math.max(-most, Math.min(most, Math.round(v / halfValue(bits)))));
    const at = b * size;
    out.set([bits & 255, bits >> 8], at);
    if (dtype === 'q8_0')
      out.set(
        Uint8Array.from(codes, (c) => c & 255),
        at + 2,
      );
    else
      out.set(
        codes.slice(0, 16).map((c, i) => (c + 8) | ((codes[i + 16]! + 8) << 4)),
        at + 2,
      );
  }
  return out;
}

/** The tiny llama with its matrices in blocks, queries and keys in the order of GGUF files. */
function quantisedFiles(dtype: 'q8_0' | 'q4_0'): WeightFiles {
  const values = readTensors(fixture('llama/model.safetensors'));
  const plain = goldenFiles('llama');
  const tensors = [...plain.tensors.values()].map((tensor): TensorEntry => {
    if (tensor.shape.length !== 2 || tensor.shape[1]! % 32 !== 0) return tensor;
    const bytes = quantise(values.floats(tensor.name), dtype);
    const file = join(folder, `${dtype}-${tensor.name}`);
    writeFileSync(file, bytes);
    const heads = /\.q_proj/.test(tensor.name) ? 4 : /\.k_proj/.test(tensor.name) ? 2 : undefined;
    const place = { file, offset: 0, bytes: bytes.length, dtype: dtype as DType };
    return { ...tensor, ...place, ...(heads && { transform: 'unpermute-rope', heads }) };
  });
  return { ...plain, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

async function logitsOf(from: WeightFiles, options: LoadOptions): Promise<Float32Array> {
  using model = asCausal(loadModelFiles(device, from, options));
  using hidden = model.hidden(golden('llama').batch);
  using logits = model.logits(hidden);
  return await logits.floats();
}

describe.each(['q8_0', 'q4_0'] as const)('weights in %s', (dtype) => {
  test('in their own bits give the logits of weights that were expanded, in f32', async () => {
    const expanded = await logitsOf(files[dtype], { dtype: 'f32', weights: 'f32' });
    const kept = await logitsOf(files[dtype], { dtype: 'f32', weights: 'as-stored' });
    expect(difference(kept, expanded)).toBeLessThan(2e-5);
  });

  test('with activations in 8 bits give logits near those in f32', async () => {
    const exact = await logitsOf(files[dtype], { dtype: 'f32' });
    const bf16 = relativeDifference(await logitsOf(files[dtype], { dtype: 'bf16' }), exact);
    const int8 = relativeDifference(await logitsOf(files[dtype], { dtype: 'bf16', weights: 'as-stored' }), exact);
    expect(bf16).toBeLessThan(0.05);
    expect(int8).toBeLessThan(0.05);
    expect(int8).not.toBe(bf16);
  });

  test('take the memory that they take in the file', async () => {
    const bytes = (weights: LoadOptions['weights']): number => {
      using model = loadModelFiles(device, files[dtype], { dtype: 'bf16', weights });
      const before = device.stats().persistentBytes;
      model.linears.get('model.layers.0.self_attn.q_proj')!.weight.forward();
      return device.stats().persistentBytes - before;
    };
    // 32 x 32 weights: a byte or half of one, and an f16 scale for each 32; panels begin on cache lines.
    expect(bytes('as-stored')).toBeLessThanOrEqual((dtype === 'q8_0' ? 32 * 34 : 32 * 18) + 256);
    expect(bytes('bf16')).toBeGreaterThanOrEqual(32 * 32 * 2);
  });
});

test('gradients through weights in their own bits are those of expanded ones', async () => {
  const { batch, ints } = golden('llama');
  const labels = ints('labels');
  const gradient = async (weights: LoadOptions['weights']): Promise<Float32Array> => {
    using model = asCausal(loadModelFiles(device, files.q8_0, { dtype: 'f32', weights }));
    const norm = model.parameters().get('model.layers.0.input_layernorm.weight')!;
    norm.trainable = true;
    using tape = new Tape();
    const nll = withTape(tape, () => {
      using hidden = model.hidden(batch);
      return model.crossEntropy(hidden, labels, { gradScale: 1 }).nll;
    });
    tape.backward();
    nll.dispose();
    return await norm.grad!.floats();
  };
  expect(difference(await gradient('as-stored'), await gradient('f32'))).toBeLessThan(1e-5);
});
