import { expect, test } from 'vitest';
import * as commands from './commands/index.js';
import { Op } from './opcodes.js';
import { CommandRecorder, type Operand } from './recorder.js';

const operand = (change: Partial<Operand> = {}): Operand => ({
  buffer: 7,
  byteOffset: 5 * 2 ** 32 + 64,
  dtype: 'bf16',
  layout: 'strided',
  shape: [3, 4],
  strides: [10, 1],
  ...change,
});

function recorder(limit = 2 ** 20, onFull = () => {}): CommandRecorder {
  return new CommandRecorder(onFull, limit, false);
}

test('a command is laid out as backend.h says', () => {
  const r = recorder();
  commands.binary(
    r,
    'mul',
    operand(),
    operand({ buffer: 8, dtype: 'q4_k', layout: 'packedBackward' }),
    operand(),
    2,
    -0.5,
  );
  const view = new DataView(r.bytes.buffer);
  const word = (i: number) => view.getUint32(i * 4, true);
  const float = (i: number) => view.getFloat32(i * 4, true);
  expect([word(0), word(1), word(2), word(3)]).toEqual([Op.BINARY, r.size, 3, 3]);
  expect([word(4), float(5), float(6), word(7)]).toEqual([2, 2, -0.5, 0]);
  // buffer; dtype, layout, rank, flags; offset; shape; stride; group and references.
  expect(word(8)).toBe(7);
  expect([...r.bytes.subarray(36, 40)]).toEqual([1, 0, 2, 0]);
  expect(view.getBigUint64(40, true)).toBe(5n * 2n ** 32n + 64n);
  expect([12, 13, 14, 15, 16, 17, 18, 19].map(word)).toEqual([3, 4, 0, 0, 10, 1, 0, 0]);
  expect([20, 21, 22, 23].map(word)).toEqual([0, 0, 0, 0]);
  expect([...r.bytes.subarray(24 * 4 + 4, 24 * 4 + 8)]).toEqual([21, 2, 2, 0]);
  expect(r.size).toBe(16 + 16 + 3 * 64);
});

test('an absent operand is zero', () => {
  const r = recorder();
  commands.fill(r, 1, operand());
  r.reset();
  // The buffer is used again: what was there must be gone.
  commands.pack(r, { src: operand(), dst: operand() });
  expect(r.words.subarray(4 + 32, 4 + 80).every((word) => word === 0)).toBe(true);
});

test('inline data is copied with its length, padded to a whole number of words', () => {
  const r = recorder();
  commands.write(r, Uint8Array.of(1, 2, 3, 4, 5), operand());
  expect([r.words[2], r.words[3], r.words[4]]).toEqual([3, 1, 5]);
  expect([...r.bytes.subarray(20, 28)]).toEqual([1, 2, 3, 4, 5, 0, 0, 0]);
  expect(r.size % 16).toBe(0);
});

test('the buffer grows with what is recorded', () => {
  const r = recorder(0);
  const data = Uint8Array.from({ length: 60_000 }, (_, i) => i);
  commands.fill(r, 3, operand());
  for (let i = 0; i < 5; i++) commands.write(r, data, operand());
  expect(r.words[0]).toBe(Op.FILL);
  expect(r.size).toBeGreaterThan(300_000);
  expect(r.bytes.length).toBeGreaterThanOrEqual(r.size);
});

test('a full recorder asks to be submitted between two commands', () => {
  const submitted: number[] = [];
  const r: CommandRecorder = recorder(500, () => {
    submitted.push(r.size);
    r.reset();
  });
  for (let i = 0; i < 20; i++) commands.fill(r, 1, operand());
  expect(submitted.length).toBeGreaterThan(2);
  expect(submitted.every((size) => size % 96 === 0 && size > 500)).toBe(true);
});

test('a command whose operand cannot be encoded leaves no trace', () => {
  const r = recorder();
  commands.fill(r, 1, operand());
  const before = r.size;
  const disposed = {
    ...operand(),
    get buffer(): number {
      throw new Error('disposed');
    },
  };
  expect(() => commands.copy(r, operand(), disposed)).toThrow('disposed');
  expect(r.size).toBe(before);
  expect(() => commands.copy(r, operand(), operand({ shape: [1, 1, 1, 1, 1], strides: [1, 1, 1, 1, 1] }))).toThrow(
    '5 dimensions',
  );
  expect(r.size).toBe(before);
});
