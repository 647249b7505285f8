const bits = new Uint32Array(1);
const number = new Float32Array(bits.buffer);

/** Types that scales are kept in. */
export type ScaleDType = 'f32' | 'f16' | 'bf16';

/** The number that IEEE half-precision bits mean. */
export function halfToFloat(half: number): number {
  const exponent = (half >>> 10) & 31;
  const fraction = half & 0x3ff;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Bits of the half-precision number nearest to a value, ties to even. */
export function floatToHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  // The carry of a fraction that rounds up to the next power of two goes to the exponent by itself.
  const fraction = roundToEven(size * 2 ** (10 - exponent));
  return sign | (size < 2 ** -14 ? fraction : ((exponent + 14) << 10) + fraction);
}

/** Bits of the bfloat16 nearest to a value, ties to even. */
export function floatToBrain(value: number): number {
  number[0] = value;
  const word = bits[0]!;
  if (Number.isNaN(value)) return (word >>> 16) | 0x40;
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The number that bfloat16 bits mean. */
export function brainToFloat(brain: number): number {
  bits[0] = brain << 16;
  return number[0]!;
}

/** A value as a type can hold it. */
export function rounded(value: number, dtype: ScaleDType): number {
  if (dtype === 'f16') return halfToFloat(floatToHalf(value));
  return dtype === 'bf16' ? brainToFloat(floatToBrain(value)) : Math.fround(value);
}

/** Values as they lie in a file. */
export function encodeScales(values: Float32Array, dtype: ScaleDType): Uint8Array {
  if (dtype === 'f32') return bytesOf(values);
  return bytesOf(Uint16Array.from(values, dtype === 'f16' ? floatToHalf : floatToBrain));
}

/** Values that lie in a file. */
export function decodeScales(bytes: Uint8Array, dtype: ScaleDType): Float32Array {
  // A copy: bytes that were read may begin anywhere in the memory that they lie in.
  const aligned = new Uint8Array(bytes).buffer;
  if (dtype === 'f32') return new Float32Array(aligned);
  return Float32Array.from(new Uint16Array(aligned), dtype === 'f16' ? halfToFloat : brainToFloat);
}

/** The memory of a typed array. */
export function bytesOf(array: Int32Array | Int8Array | Uint16Array | Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
