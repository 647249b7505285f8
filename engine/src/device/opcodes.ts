/** Operations (`lf_op` in backend.h), which documents parameters and operands of each. */
export const Op = {
  WRITE: 1,
  FILL: 2,
  COPY: 3,
  BINARY: 4,
  UNARY: 5,
  UNARY_BACKWARD: 6,
  REDUCE: 7,
  RANDOM: 8,
  DROPOUT: 9,
  SOFTMAX: 10,
  EMBEDDING: 16,
  EMBEDDING_BACKWARD: 17,
  GATHER_COLUMNS: 18,
  RMS_NORM: 24,
  RMS_NORM_BACKWARD: 25,
  LAYER_NORM: 26,
  LAYER_NORM_BACKWARD: 27,
  MATMUL: 32,
  LINEAR: 33,
  LINEAR_BACKWARD_INPUT: 34,
  LINEAR_BACKWARD_WEIGHT: 35,
  PACK: 36,
  GROUPED_LINEAR: 37,
  GROUPED_LINEAR_BACKWARD_INPUT: 38,
  GROUPED_LINEAR_BACKWARD_WEIGHT: 39,
  ROPE: 48,
  ATTENTION: 49,
  ATTENTION_BACKWARD: 50,
  KV_WRITE: 51,
  ATTENTION_PAGED: 52,
  KV_COPY_BLOCKS: 53,
  GLU: 64,
  GLU_BACKWARD: 65,
  ROUTE: 66,
  ROUTE_BACKWARD: 67,
  CROSS_ENTROPY: 72,
  DIVERGENCE: 73,
  CLIP_SCALE: 80,
  ADAMW: 81,
  SAMPLE: 96,
  MEAN_POOL: 97,
  BLOCKS_OF_CODES: 110,
  LION: 125,
  ADAMW_8BIT: 126,
  ADAFACTOR: 127,
  DEQUANTIZE: 128,
  QUANTIZE_TABLE: 129,
  QUANTIZE_GROUPS: 145,
  QUANTIZE_BLOCK: 146,
  QUANTIZE_SWEEP: 147,
  ENCODE_BLOCKS: 148,
  ALL_REDUCE: 160,
  ALL_GATHER: 161,
} as const;

export type OpName = keyof typeof Op;

const names = new Map<number, OpName>(Object.entries(Op).map(([name, code]) => [code, name as OpName]));

export function opName(code: number): string {
  return names.get(code) ?? `op ${code}`;
}

/** `lf_binary` */
export const Binary = { add: 0, sub: 1, mul: 2, div: 3, max: 4, min: 5 } as const;
export type BinaryKind = keyof typeof Binary;

/** `lf_unary` */
export const Unary = {
  identity: 0,
  silu: 1,
  gelu: 2,
  gelu_tanh: 3,
  relu: 4,
  tanh: 5,
  sigmoid: 6,
  exp: 7,
  log: 8,
  sqrt: 9,
  square: 10,
  neg: 11,
  abs: 12,
} as const;
export type UnaryKind = keyof typeof Unary;

/** `lf_reduce` */
export const Reduce = { sum: 0, mean: 1, max: 2, sumSquares: 3, absMax: 4, countNonfinite: 5 } as const;
export type ReduceKind = keyof typeof Reduce;

/** `lf_code_order` */
export const CodeOrder = { alongK: 0, awq: 1 } as const;
export type CodeOrderKind = keyof typeof CodeOrder;

/** `lf_random` */
export const Random = { uniform: 0, normal: 1 } as const;
export type RandomKind = keyof typeof Random;

/**
 * `lf_math`: in which precision products are formed. Sums are f32. int8 rounds activations to 8 bits in groups of 32, for
 * weights that are packed in a block format.
 */
export const MathMode = { f32: 0, bf16: 1, int8: 2 } as const;
export type MathKind = keyof typeof MathMode;

/** `lf_layout` */
export const Layout = { strided: 0, packedForward: 1, packedBackward: 2 } as const;
export type LayoutKind = keyof typeof Layout;
