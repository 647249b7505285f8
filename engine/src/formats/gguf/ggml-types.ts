import type { DType } from '../../device/dtype.js';

/** Types of GGUF tensors by their number in ggml (enum ggml_type), with the engine's type where it can read them. */
export const GGML_TYPES: ReadonlyMap<number, { name: string; dtype?: DType }> = new Map([
  [0, { name: 'F32', dtype: 'f32' }],
  [1, { name: 'F16', dtype: 'f16' }],
  [2, { name: 'Q4_0', dtype: 'q4_0' }],
  [3, { name: 'Q4_1', dtype: 'q4_1' }],
  [6, { name: 'Q5_0', dtype: 'q5_0' }],
  [7, { name: 'Q5_1', dtype: 'q5_1' }],
  [8, { name: 'Q8_0', dtype: 'q8_0' }],
  [9, { name: 'Q8_1' }],
  [10, { name: 'Q2_K' }],
  [11, { name: 'Q3_K' }],
  [12, { name: 'Q4_K', dtype: 'q4_k' }],
  [13, { name: 'Q5_K', dtype: 'q5_k' }],
  [14, { name: 'Q6_K', dtype: 'q6_k' }],
  [15, { name: 'Q8_K' }],
  [16, { name: 'IQ2_XXS' }],
  [17, { name: 'IQ2_XS' }],
  [18, { name: 'IQ3_XXS' }],
  [19, { name: 'IQ1_S' }],
  [20, { name: 'IQ4_NL' }],
  [21, { name: 'IQ3_S' }],
  [22, { name: 'IQ2_S' }],
  [23, { name: 'IQ4_XS' }],
  [24, { name: 'I8', dtype: 'i8' }],
  [25, { name: 'I16' }],
  [26, { name: 'I32', dtype: 'i32' }],
  [27, { name: 'I64', dtype: 'i64' }],
  [28, { name: 'F64', dtype: 'f64' }],
  [29, { name: 'IQ1_M' }],
  [30, { name: 'BF16', dtype: 'bf16' }],
  [34, { name: 'TQ1_0' }],
  [35, { name: 'TQ2_0' }],
  [39, { name: 'MXFP4' }],
  [40, { name: 'NVFP4' }],
] as [number, { name: string; dtype?: DType }][]);

/** Names of the types whose tensors are read. */
export const READABLE_GGML_TYPES: readonly string[] = [...GGML_TYPES.values()]
  .filter((t) => t.dtype)
  .map((t) => t.name);
