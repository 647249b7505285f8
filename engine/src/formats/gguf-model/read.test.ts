import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readGgufModel } from './read.js';

const folder = mkdtempSync(join(tmpdir(), 'gguf-model-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'a.gguf');

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

type Value = number | string | string[];

function encoded(value: Value): Buffer {
  if (typeof value === 'number') return Buffer.concat([u32(4), u32(value)]);
  if (typeof value === 'string') return Buffer.concat([u32(8), text(value)]);
  return Buffer.concat([u32(9), u32(8), u64(value.length), ...value.map(text)]);
}

/** A file of metadata alone; `changes` to that of a small model. */
function file(changes: Record<string, Value>): void {
  const entries = Object.entries({
    'general.architecture': 'llama',
    'llama.vocab_size': 2,
    'llama.context_length': 8,
    'llama.embedding_length': 8,
    'llama.feed_forward_length': 8,
    'llama.block_count': 1,
    'llama.attention.head_count': 2,
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.tokens': ['a', 'b'],
    'tokenizer.ggml.merges': ['a b'],
    ...changes,
  });
  const metadata = entries.flatMap(([key, value]) => [text(key), encoded(value)]);
  writeFileSync(path, Buffer.concat([Buffer.from('GGUF'), u32(3), u64(0), u64(entries.length), ...metadata]));
}

it('reads the tokenizer', () => {
  file({});
  expect(readGgufModel(path).tokenizer?.tokenizer).toMatchObject({
    model: { vocab: { a: 0, b: 1 }, merges: ['a b'] },
  });
});

it.each<[string, Record<string, Value>, string, RegExp]>([
  ['merges that are no list', { 'tokenizer.ggml.merges': 7 }, 'CORRUPT', /merges .* no list of strings/],
  ['tokens that are no list', { 'tokenizer.ggml.tokens': 'ab' }, 'CORRUPT', /vocabulary is no list/],
  ['a token of any length', { 'tokenizer.ggml.tokens': ['a'.repeat(5000)] }, 'CORRUPT', /5000 characters long/],
  ['a chat template that is no text', { 'tokenizer.chat_template': 1 }, 'CORRUPT', /chat_template is no text/],
  ['a size that is text', { 'llama.block_count': 'one' }, 'CORRUPT', /llama.block_count is "one"/],
  ['the name of a property as architecture', { 'general.architecture': 'constructor' }, 'UNSUPPORTED', /"constructor"/],
  ['the name of a property as split', { 'tokenizer.ggml.pre': 'toString' }, 'UNSUPPORTED', /"toString"/],
])('refuses %s', (_, changes, code, reason) => {
  file(changes);
  expect(() => readGgufModel(path).tokenizer).toThrow(
    expect.objectContaining({ code: `LF_ENGINE_FILE_${code}`, message: expect.stringMatching(reason) }),
  );
});
