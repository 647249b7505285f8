import { formatErrors } from './errors.js';
import type { TensorToWrite } from './safetensors.js';

/** Bits of the exponent, all of which infinities and NaN have. */
const EXPONENTS: Readonly<Record<string, number>> = { f32: 0x7f800000, bf16: 0x7f80, f16: 0x7c00 };

/**
 * The same tensor, whose bytes are looked through when they are asked for.
 * Throws LF_ENGINE_WEIGHT_NOT_FINITE for an infinity or NaN of f32, bf16 or f16; other data types have none.
 */
export function finiteOnly(tensor: TensorToWrite): TensorToWrite {
  const { name, dtype, shape } = tensor;
  const exponent = EXPONENTS[dtype];
  if (exponent === undefined) return tensor;
  return {
    ...tensor,
    async bytes() {
      const bytes = await tensor.bytes();
      const Words = dtype === 'f32' ? Uint32Array : Uint16Array;
      const { BYTES_PER_ELEMENT: width } = Words;
      const { buffer, byteOffset, byteLength } = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
      const words = new Words(buffer as ArrayBuffer, byteOffset, byteLength / width);
      for (let i = 0; i < words.length; i++) {
        if ((words[i]! & exponent) === exponent)
          throw formatErrors.WEIGHT_NOT_FINITE({ name, place: placeOf(i, shape), dtype });
      }
      return bytes;
    },
  };
}

/** The index of a value in each dimension. */
function placeOf(index: number, shape: readonly number[]): number[] {
  const place: number[] = [];
  let rest = index;
  for (const size of shape.toReversed()) {
    place.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return place;
}
