import { packRows, transposed, unpackRows } from './bit-pack.js';
import type { QuantizedWeight } from './weight.js';

/** How a checkpoint lays quantised weights out. AWQ is AutoAWQ's "gemm" version. */
export type QuantizedLayout = 'gptq' | 'gptq_v2' | 'awq' | 'pack-quantized' | 'int-quantized';

/** Order of the columns that the nibbles of an AWQ word hold, least significant first (AutoAWQ, `pack_intweight`). */
const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7] as const;

/** Integer tensors of one layer, by the end of their names. */
export interface PackedTensors {
  /** Words, or the signed bytes of int-quantized. */
  readonly codes: Int32Array | Int8Array;
  readonly zeros: Int32Array | undefined;
}

/**
 * The integer tensors of a weight as a layout has them.
 *
 * - gptq, gptq_v2: codes [K * bits / 32, N] along K, zeros [groups, N * bits / 32]; v1 stores each zero less one.
 * - awq: codes [K, N / 8], zeros [groups, N / 8], columns interleaved; 4 bits.
 * - pack-quantized: codes [N, K * bits / 32] along K, zeros [N * bits / 32, groups]; 4 or 8 bits.
 * - int-quantized: signed bytes [N, K], around zeros that are 128 everywhere; 8 bits.
 */
export function packWeight(weight: QuantizedWeight, layout: QuantizedLayout): PackedTensors {
  const { outFeatures: n, inFeatures: k, groups, bits, codes } = weight;
  switch (layout) {
    case 'gptq':
    case 'gptq_v2': {
      const less = layout === 'gptq' ? 1 : 0;
      const zeros = Uint8Array.from(weight.zeros, (zero) => zero - less);
      const words = packRows(codes, n, k, bits);
      return {
        codes: transposed(words, n, words.length / n),
        zeros: packRows(transposed(zeros, n, groups), groups, n, bits),
      };
    }
    case 'awq': {
      const zeros = transposed(Uint8Array.from(weight.zeros), n, groups);
      return {
        codes: packRows(interleaved(transposed(codes, n, k)), k, n, bits),
        zeros: packRows(interleaved(zeros), groups, n, bits),
      };
    }
    case 'pack-quantized': {
      const symmetric = weight.zeros.every((zero) => zero === 2 ** (bits - 1));
      const words = () => packRows(transposed(Uint8Array.from(weight.zeros), n, groups), groups, n, bits);
      return {
        codes: packRows(codes, n, k, bits),
        zeros: symmetric ? undefined : transposed(words(), groups, (n * bits) / 32),
      };
    }
    case 'int-quantized':
      return { codes: Int8Array.from(codes, (code) => code - 128), zeros: undefined };
  }
}

/** What `packWeight` packed. `shape` is what the tensors don't say; without zeros they are half of the range. */
export function unpackWeight(
  packed: PackedTensors,
  layout: QuantizedLayout,
  shape: Pick<QuantizedWeight, 'outFeatures' | 'inFeatures' | 'bits' | 'groups'>,
): Pick<QuantizedWeight, 'codes' | 'zeros'> {
  const { outFeatures: n, inFeatures: k, bits } = shape;
  const zeros = unpackZeros(packed.zeros, layout, shape);
  if (layout === 'int-quantized') return { codes: Uint8Array.from(packed.codes, (code) => code + 128), zeros };
  const words = packed.codes as Int32Array;
  switch (layout) {
    case 'gptq':
    case 'gptq_v2':
      return { codes: unpackRows(transposed(words, (k * bits) / 32, n), n, k, bits), zeros };
    case 'awq':
      return { codes: transposed(deinterleaved(unpackRows(words, k, n, bits)), k, n), zeros };
    case 'pack-quantized':
      return { codes: unpackRows(words, n, k, bits), zeros };
  }
}

/** The zeros [N, groups] of what `packWeight` packed. */
export function unpackZeros(
  packed: Int32Array | undefined,
  layout: QuantizedLayout,
  { outFeatures: n, groups, bits }: Pick<QuantizedWeight, 'outFeatures' | 'bits' | 'groups'>,
): Uint16Array {
  if (!packed || layout === 'int-quantized') return new Uint16Array(n * groups).fill(2 ** (bits - 1));
  switch (layout) {
    case 'gptq':
    case 'gptq_v2': {
      // As the reference does, v1 adds the one back within the range of the bits that follow: 2^bits is possible.
      const one = layout === 'gptq' ? 1 : 0;
      return Uint16Array.from(transposed(unpackRows(packed, groups, n, bits), groups, n), (zero) => zero + one);
    }
    case 'awq':
      return Uint16Array.from(transposed(deinterleaved(unpackRows(packed, groups, n, bits)), groups, n));
    case 'pack-quantized': {
      const turned = transposed(packed, (n * bits) / 32, groups);
      return Uint16Array.from(transposed(unpackRows(turned, groups, n, bits), groups, n));
    }
  }
}

function interleaved(codes: Uint8Array): Uint8Array {
  return codes.map((_, i) => codes[i - (i % 8) + AWQ_ORDER[i % 8]!]!);
}

function deinterleaved(codes: Uint8Array): Uint8Array {
  const out = new Uint8Array(codes.length);
  codes.forEach((code, i) => {
    out[i - (i % 8) + AWQ_ORDER[i % 8]!] = code;
  });
  return out;
}
