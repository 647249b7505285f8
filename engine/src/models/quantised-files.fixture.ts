import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DType } from '../device/dtype.js';
import type { TensorEntry } from '../formats/model-source.js';
import { fixture, goldenFiles, readTensors } from './golden.fixture.js';
import type { WeightFiles } from './weights.js';

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

/** The tiny llama with its matrices in blocks, queries and keys in the order of GGUF files; its files lie in `folder`. */
export function quantisedFiles(folder: string, dtype: 'q8_0' | 'q4_0'): WeightFiles {
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
