import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readModelSource, readSafetensors } from '../formats/index.js';
import { packSequences } from './batch.js';
import type { WeightFiles } from './weights.js';

/** Path of a fixture made by engine/fixtures/make_models.py. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`../../fixtures/models/${path}`, import.meta.url));
}

/** Tensors of a small safetensors file as host arrays. */
export function readTensors(path: string): {
  floats(name: string): Float32Array;
  ints(name: string): Int32Array;
  names: string[];
} {
  const { tensors } = readSafetensors(path);
  const file = readFileSync(path);
  const bytes = (name: string) => {
    const entry = tensors.get(name);
    if (!entry) throw new Error(`${path} has no tensor ${name}`);
    return file.buffer.slice(file.byteOffset + entry.offset, file.byteOffset + entry.offset + entry.bytes);
  };
  return {
    floats: (name) => new Float32Array(bytes(name)),
    ints: (name) => new Int32Array(bytes(name)),
    names: [...tensors.keys()],
  };
}

/** What transformers computed for a fixture. */
export function golden(name: string) {
  const tensors = readTensors(fixture(`${name}/golden.safetensors`));
  const tokens = tensors.ints('tokens');
  const lengths = [...tensors.ints('lengths')];
  let start = 0;
  const sequences = lengths.map((length) => tokens.subarray(start, (start += length)));
  const gradients = new Map(
    tensors.names.filter((key) => key.startsWith('grad.')).map((key) => [key.slice(5), tensors.floats(key)]),
  );
  return { ...tensors, sequences, lengths, batch: packSequences(sequences), gradients };
}

/** A fixture's config and weights; `config` changes fields of config.json, `weights` names the fixture that has them. */
export function goldenFiles(name: string, { config = {}, weights = name } = {}): WeightFiles {
  const source = readModelSource(fixture(weights));
  const own = JSON.parse(readFileSync(fixture(`${name}/config.json`), 'utf8'));
  return { config: { ...own, ...config }, tensors: source.tensors };
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
