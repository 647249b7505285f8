import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readGguf } from './read.js';
import { type GgufEntry, writeGguf } from './write.js';

/** More than 64 KiB of one type, as the vocabularies of real tokenizers have, so that memory for the header grows within it. */
const many = 20_000;
const lists: Readonly<Record<string, GgufEntry>> = {
  strings: { type: 'strings', value: Array.from({ length: many }, (_, i) => `token ${i} `.repeat(1 + (i % 5))) },
  i32s: { type: 'i32s', value: Array.from({ length: many }, (_, i) => i - 10_000) },
  f32s: { type: 'f32s', value: Array.from({ length: many }, (_, i) => i / 4) },
  string: { type: 'string', value: '0123456789'.repeat(many) },
};

it.each(Object.keys(lists))('reads back a long header of %s', async (name) => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-gguf-'));
  try {
    const path = join(folder, 'model.gguf');
    const entries = new Map<string, GgufEntry>([
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['list', lists[name]!],
      // Whatever lies behind it must be where it belongs, too.
      ...Array.from({ length: 50 }, (_, i) => [`after.${i}`, { type: 'u32', value: i }] as const),
      ['after.flag', { type: 'bool', value: true }],
      ['after.number', { type: 'i32', value: -7 }],
      ['after.share', { type: 'f32', value: 0.25 }],
    ]);
    const values = Float32Array.of(1, 2, 3, 4, 5, 6);
    const bytes = () => new Uint8Array(values.buffer);
    await writeGguf(path, entries, [{ name: 'weight', dtype: 'f32', shape: [2, 3], bytes }]);
    const { metadata, tensors } = readGguf(path);
    for (const [key, { value }] of entries) {
      const found = metadata.get(key);
      expect(ArrayBuffer.isView(found) ? Array.from(found as Float32Array) : found, key).toEqual(value);
    }
    expect(tensors.get('weight')).toMatchObject({ dtype: 'f32', shape: [2, 3] });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
