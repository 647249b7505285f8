/** Element types of tensors, with the codes of `lf_dtype` in backend.h. */
const CODES = {
  f32: 0,
  bf16: 1,
  f16: 2,
  f64: 3,
  i32: 4,
  i64: 5,
  u8: 6,
  i8: 7,
  u32: 8,
  i4: 9,
  q4_0: 16,
  q4_1: 17,
  q5_0: 18,
  q5_1: 19,
  q8_0: 20,
  q4_k: 21,
  q5_k: 22,
  q6_k: 23,
  q4_z: 24,
} as const;

export type DType = keyof typeof CODES;
/** The types that activations and weights are computed in. */
export type FloatDType = 'f32' | 'bf16' | 'f16';

const BYTES: Partial<Record<DType, number>> = {
  f32: 4,
  bf16: 2,
  f16: 2,
  f64: 8,
  i32: 4,
  i64: 8,
  u8: 1,
  i8: 1,
  u32: 4,
  i4: 1,
};

/** Elements and bytes of one block of the GGUF formats, and of GPTQ's and AWQ's weights. */
const BLOCKS: Partial<Record<DType, { elements: number; bytes: number }>> = {
  q4_0: { elements: 32, bytes: 18 },
  q4_1: { elements: 32, bytes: 20 },
  q5_0: { elements: 32, bytes: 22 },
  q5_1: { elements: 32, bytes: 24 },
  q8_0: { elements: 32, bytes: 34 },
  q4_k: { elements: 256, bytes: 144 },
  q5_k: { elements: 256, bytes: 176 },
  q6_k: { elements: 256, bytes: 210 },
  q4_z: { elements: 32, bytes: 20 },
};

export function dtypeCode(dtype: DType): number {
  return CODES[dtype];
}

/** Whether elements come in blocks that share a scale; a row of such a tensor is a whole number of blocks. */
export function isBlockFormat(dtype: DType): boolean {
  return BLOCKS[dtype] !== undefined;
}

/** Bytes of one element. Throws for block formats, whose elements have no size of their own. */
export function elementBytes(dtype: DType): number {
  const bytes = BYTES[dtype];
  if (bytes === undefined) throw new TypeError(`an element of ${dtype} has no size of its own`);
  return bytes;
}

/** Bytes of a contiguous tensor. Throws when the last dimension of a block format is no whole number of blocks. */
export function byteLength(dtype: DType, shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) count *= size;
  const block = BLOCKS[dtype];
  if (!block) return count * elementBytes(dtype);
  const columns = shape.at(-1) ?? 0;
  if (columns % block.elements !== 0) {
    throw new RangeError(`a row of ${columns} elements is no whole number of ${dtype} blocks of ${block.elements}`);
  }
  return (count / block.elements) * block.bytes;
}
