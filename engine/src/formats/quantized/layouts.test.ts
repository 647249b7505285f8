import { describe, expect, it } from 'vitest';
import { packRows, unpackRows } from './bit-pack.js';
import { brainToFloat, floatToBrain, floatToHalf, halfToFloat } from './half.js';
import { packWeight, type QuantizedLayout, unpackWeight } from './layouts.js';
import { dequantize, type QuantizedWeight } from './weight.js';

const hex = (words: Int32Array | Int8Array | undefined) =>
  Array.from(words ?? [], (word) => (word >>> 0).toString(16).padStart(8, '0'));

/** A weight whose codes count along K (rows alike) or along N (columns alike). */
function counting(along: 'K' | 'N', zero: number): QuantizedWeight {
  const codes = Uint8Array.from({ length: 64 }, (_, i) => (along === 'K' ? i % 8 : Math.floor(i / 8)));
  return {
    outFeatures: 8,
    inFeatures: 8,
    bits: 4,
    groups: 1,
    codes,
    scales: new Float32Array(8).fill(0.5),
    zeros: new Uint16Array(8).fill(zero),
  };
}

function random(bits: number): QuantizedWeight {
  let seed = 7;
  const next = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 16;
  };
  const [outFeatures, inFeatures, groups] = [32, 64, 2];
  return {
    outFeatures,
    inFeatures,
    bits,
    groups,
    codes: Uint8Array.from({ length: outFeatures * inFeatures }, () => next() % 2 ** bits),
    scales: Float32Array.from({ length: outFeatures * groups }, () => (next() % 100) / 64),
    zeros: Uint16Array.from({ length: outFeatures * groups }, () => 1 + (next() % (2 ** bits - 1))),
  };
}

describe('layouts of quantised weights', () => {
  it('has the words that GPTQ v1, v2, AutoAWQ and compressed-tensors document', () => {
    const alongK = counting('K', 8);
    expect(hex(packWeight(alongK, 'gptq').codes)).toEqual(new Array(8).fill('76543210'));
    expect(hex(packWeight(alongK, 'gptq').zeros)).toEqual(['77777777']);
    expect(hex(packWeight(alongK, 'gptq_v2').zeros)).toEqual(['88888888']);
    expect(hex(packWeight(alongK, 'pack-quantized').codes)).toEqual(new Array(8).fill('76543210'));
    expect(packWeight(alongK, 'pack-quantized').zeros).toBeUndefined();
    expect(hex(packWeight(counting('N', 8), 'awq').codes)).toEqual(new Array(8).fill('75316420'));
    expect(hex(packWeight(counting('N', 3), 'awq').zeros)).toEqual(['33333333']);
  });

  it('lets codes of 3 bits span words, 32 in three', () => {
    const codes = Uint8Array.from({ length: 32 }, (_, i) => i % 8);
    // 0, 1, ... 7 in 24 bits, least significant first, four times: the bytes 88 c6 fa over and over.
    expect(hex(packRows(codes, 1, 32, 3))).toEqual(['88fac688', 'c688fac6', 'fac688fa']);
    expect(unpackRows(packRows(codes, 1, 32, 3), 1, 32, 3)).toEqual(codes);
  });

  it.each<[QuantizedLayout, number]>([
    ['gptq', 2],
    ['gptq', 3],
    ['gptq_v2', 4],
    ['gptq', 8],
    ['awq', 4],
    ['pack-quantized', 4],
    ['pack-quantized', 8],
  ])('unpacks what it packs: %s, %i bits', (layout, bits) => {
    const weight = random(bits);
    const { codes, zeros } = unpackWeight(packWeight(weight, layout), layout, weight);
    expect(codes).toEqual(weight.codes);
    expect(zeros).toEqual(weight.zeros);
  });

  it('has signed bytes as int-quantized', () => {
    const weight = { ...random(8), groups: 1, zeros: new Uint16Array(32).fill(128) };
    const { codes, zeros } = packWeight(weight, 'int-quantized');
    expect(codes).toBeInstanceOf(Int8Array);
    expect([codes[0], codes[77]]).toEqual([weight.codes[0]! - 128, weight.codes[77]! - 128]);
    expect(unpackWeight({ codes, zeros }, 'int-quantized', weight)).toEqual({
      codes: weight.codes,
      zeros: weight.zeros,
    });
  });

  it('takes the group of a column from the index where there is one', () => {
    const weight: QuantizedWeight = {
      outFeatures: 1,
      inFeatures: 4,
      bits: 4,
      groups: 2,
      codes: Uint8Array.of(9, 9, 6, 6),
      scales: Float32Array.of(1, 10),
      zeros: Uint16Array.of(8, 4),
    };
    expect([...dequantize(weight)]).toEqual([1, 1, 20, 20]);
    expect([...dequantize({ ...weight, groupIndex: Int32Array.of(0, 1, 0, 1) })]).toEqual([1, 50, -2, 20]);
  });
});

describe('half precision', () => {
  it('gives every half number back', () => {
    for (let half = 0; half < 65536; half++) {
      const value = halfToFloat(half);
      if (!Number.isNaN(value)) expect(floatToHalf(value)).toBe(half);
    }
  });

  it('rounds to the nearest, ties to even', () => {
    expect(halfToFloat(floatToHalf(1 + 2 ** -11))).toBe(1);
    expect(halfToFloat(floatToHalf(1 + 3 * 2 ** -11))).toBe(1 + 2 ** -9);
    expect(halfToFloat(floatToHalf(1e6))).toBe(Number.POSITIVE_INFINITY);
    expect(brainToFloat(floatToBrain(1 + 2 ** -8))).toBe(1);
    expect(brainToFloat(floatToBrain(1 + 3 * 2 ** -8))).toBe(1 + 2 ** -6);
  });
});
