import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DType } from '../device/dtype.js';
import type { TensorEntry } from '../formats/model-source.js';
import type { Parameter } from '../nn/parameter.js';
import { packSequences } from './batch.js';
import type { WeightFiles } from './weights.js';

/** Path of a fixture made by engine/fixtures/make_models.py. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`../../fixtures/models/${path}`, import.meta.url));
}

/** Where the tensors of a safetensors file lie. The fixtures are our own, so nothing is checked. */
export function readHeader(file: string): Map<string, TensorEntry> {
  const content = readFileSync(file);
  const length = Number(content.readBigUInt64LE(0));
  const header = JSON.parse(content.toString('utf8', 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const entries = Object.entries(header).filter(([name]) => name !== '__metadata__');
  return new Map(
    entries.map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => [
        name,
        { name, dtype: dtype.toLowerCase() as DType, shape, file, offset: 8 + length + begin, bytes: end - begin },
      ],
    ),
  );
}

/** Tensors of a small safetensors file as host arrays. */
export function readTensors(path: string) {
  const tensors = readHeader(path);
  const file = readFileSync(path);
  const bytes = (name: string) => {
    const entry = tensors.get(name);
    if (!entry) throw new Error(`${path} has no tensor ${name}`);
    return file.buffer.slice(file.byteOffset + entry.offset, file.byteOffset + entry.offset + entry.bytes);
  };
  return {
    floats: (name: string) => new Float32Array(bytes(name)),
    ints: (name: string) => new Int32Array(bytes(name)),
    names: [...tensors.keys()],
  };
}

/** Fixtures of causal language models that have weights of their own. */
export const CAUSAL = [
  'llama',
  'llama-tied',
  'mistral',
  'qwen2',
  'qwen3',
  'phi3',
  'gemma2',
  'gemma3',
  'mixtral',
  'qwen2-moe',
  'qwen3-moe',
  'gpt2',
  'gpt-neox',
  'gpt-neox-sequential',
];

/** Values of a parameter in the order in which files have them. */
export function stored(values: Float32Array, { shape, transposed }: Parameter): Float32Array {
  if (!transposed) return values;
  const [rows, columns] = shape as [number, number];
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** What transformers computed for a fixture. */
export function golden(name: string) {
  const tensors = readTensors(fixture(`${name}/golden.safetensors`));
  const tokens = tensors.ints('tokens');
  const lengths = [...tensors.ints('lengths')];
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
  const sequences = lengths.map((length, i) => tokens.subarray(starts[i]!, starts[i]! + length));
  const gradients = new Map(
    tensors.names.filter((key) => key.startsWith('grad.')).map((key) => [key.slice(5), tensors.floats(key)]),
  );
  return { ...tensors, sequences, lengths, batch: packSequences(sequences), gradients };
}

/** A fixture's config and weights; `config` changes fields of config.json, `weights` names the fixture that has them. */
export function goldenFiles(name: string, { config = {}, weights = name } = {}): WeightFiles {
  const own = JSON.parse(readFileSync(fixture(`${name}/config.json`), 'utf8'));
  return { config: { ...own, ...config }, tensors: readHeader(fixture(`${weights}/model.safetensors`)) };
}

/** Largest absolute difference. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    if (!(d <= most)) most = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  }
  return most;
}

/** Largest absolute difference over the largest magnitude of `b`. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let scale = 0;
  for (let i = 0; i < b.length; i++) scale = Math.max(scale, Math.abs(b[i]!));
  return difference(a, b) / Math.max(scale, 1e-30);
}
