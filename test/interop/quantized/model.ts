import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  asCausal,
  createModel,
  type Device,
  type LoadOptions,
  loadModel,
  packSequences,
  readModelSource,
  readSafetensors,
  savePretrained,
  scope,
} from '@largeforge/engine';

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));

/** Widths that every peer takes: multiples of 256, for llama.cpp's larger blocks. */
const config = {
  model_type: 'llama',
  vocab_size: 768,
  hidden_size: 256,
  intermediate_size: 512,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  hidden_act: 'silu',
  max_position_embeddings: 1024,
  // Large enough for predictions that are far from even.
  initializer_range: 0.08,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  eos_token_id: 2,
  pad_token_id: 0,
};

/** Writes a small model of random weights with a real tokenizer. */
export async function writeRandomModel(device: Device, folder: string): Promise<void> {
  const model = createModel(device, config, { dtype: 'bf16', seed: 3 });
  await savePretrained(model, folder, { dtype: 'bf16', tokenizer: readModelSource(base).tokenizer! });
  model.dispose();
}

/** Rows of tokens that look like nothing. */
export const tokenRows = (rows: number, length: number): number[][] =>
  Array.from({ length: rows }, (_, row) => Array.from({ length }, (_, i) => 5 + ((row * 131 + i * i * 37 + i) % 700)));

/** Logits of a row, and the weights of linear layers as they are computed with. */
export async function computed(
  device: Device,
  path: string,
  tokens: readonly number[],
  options: LoadOptions = { dtype: 'f32' },
) {
  const model = asCausal(await loadModel(device, path, options));
  const logits = await scope(() => model.logits(model.hidden(packSequences([tokens as number[]])))).floats();
  const weights = new Map<string, Float32Array>();
  for (const [name, { weight }] of model.linears) {
    using values = weight.toFloat32();
    weights.set(name, (await values.floats()).slice());
  }
  model.dispose();
  return { logits, weights };
}

/** The f32 tensors of a safetensors file. */
export function floatsOf(file: string): Map<string, Float32Array> {
  const bytes = readFileSync(file);
  const entries = [...readSafetensors(file).tensors];
  return new Map(
    entries.map(([name, { offset, bytes: size }]) => [
      name,
      new Float32Array(bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + size)),
    ]),
  );
}

/** sqrt(sum (a - b)^2 / sum b^2) */
export function relativeDifference(a: Float32Array, b: Float32Array): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

export function writeJsonFile(folder: string, name: string, value: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify(value));
  return file;
}
