import { expect, test } from 'vitest';
import { quantizeQ8 } from './blocks.js';
import { halfToFloat } from './half.js';

/** What readers of GGUF make of blocks: scale times code. */
function decoded(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer);
  const values: number[] = [];
  for (let at = 0; at < bytes.length; at += 34) {
    const scale = halfToFloat(view.getUint16(at, true));
    for (let i = 0; i < 32; i++) values.push(scale * view.getInt8(at + 2 + i));
  }
  return values;
}

test('every value is within half a step of its block', () => {
  const values = Float32Array.from({ length: 96 }, (_, i) => Math.sin(i * 1.7) * 10 ** (Math.floor(i / 32) - 2));
  const found = decoded(quantizeQ8(values));
  for (let block = 0; block < 3; block++) {
    const own = values.subarray(32 * block, 32 * block + 32);
    const step = Math.max(...own.map(Math.abs)) / 127;
    // The scale itself is rounded to 11 bits, by which the largest code moves a little more.
    for (const [i, value] of own.entries()) {
      expect(Math.abs(found[32 * block + i]! - value)).toBeLessThan(0.6 * step);
    }
  }
});

test('codes are whole numbers of the scale that is kept', () => {
  const values = Float32Array.from({ length: 32 }, (_, i) => i - 16);
  const bytes = quantizeQ8(values);
  expect(bytes).toHaveLength(34);
  const scale = halfToFloat(new DataView(bytes.buffer).getUint16(0, true));
  expect(scale).toBeCloseTo(16 / 127, 4);
  expect(new DataView(bytes.buffer).getInt8(2)).toBe(-127);
});

test('a block of zeros stays zero, and what is no number shows', () => {
  expect(decoded(quantizeQ8(new Float32Array(32)))).toEqual(new Array(32).fill(0));
  const tainted = decoded(quantizeQ8(new Float32Array(32).fill(Number.NaN)));
  expect(tainted.every(Number.isNaN)).toBe(true);
});
