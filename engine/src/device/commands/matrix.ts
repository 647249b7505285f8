import { CodeOrder, type CodeOrderKind, type MathKind, MathMode, Op, Unary, type UnaryKind } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** c = alpha * op(a) op(b) + beta * c, with op(a) [M, K] and op(b) [K, N]. */
export function matmul(
  r: CommandRecorder,
  {
    transA = false,
    transB = false,
    alpha = 1,
    beta = 0,
    math,
  }: { transA?: boolean; transB?: boolean; alpha?: number; beta?: number; math: MathKind },
  t: { a: Operand; b: Operand; c: Operand },
): void {
  const p = r.begin(Op.MATMUL, 5, 3);
  r.words[p] = transA ? 1 : 0;
  r.words[p + 1] = transB ? 1 : 0;
  r.floats[p + 2] = alpha;
  r.floats[p + 3] = beta;
  r.words[p + 4] = MathMode[math];
  r.operand(t.a);
  r.operand(t.b);
  r.operand(t.c);
}

/**
 * y [M, N] = activation(x w^T + bias + loraScale * (loraX loraA^T) loraB^T) + beta * y. With `adapter`, loraA and loraB
 * are stacks and each row uses the one that `adapter` names (-1: none).
 */
export function linear(
  r: CommandRecorder,
  {
    loraScale = 0,
    beta = 0,
    math,
    activation = 'identity',
  }: { loraScale?: number; beta?: number; math: MathKind; activation?: UnaryKind },
  t: {
    x: Operand;
    w: Operand;
    bias?: Operand;
    y: Operand;
    loraX?: Operand;
    loraA?: Operand;
    loraB?: Operand;
    loraXa?: Operand;
    adapter?: Operand;
  },
): void {
  const p = r.begin(Op.LINEAR, 4, 9);
  r.floats[p] = loraScale;
  r.floats[p + 1] = beta;
  r.words[p + 2] = MathMode[math];
  r.words[p + 3] = Unary[activation];
  r.operand(t.x);
  r.operand(t.w);
  r.operand(t.bias);
  r.operand(t.y);
  r.operand(t.loraX);
  r.operand(t.loraA);
  r.operand(t.loraB);
  r.operand(t.loraXa);
  r.operand(t.adapter);
}

/** dx [M, K] = dy w + beta * dx; loraDxa = loraScale * dy loraB, whose product with loraA goes to dx or to loraDx. */
export function linearBackwardInput(
  r: CommandRecorder,
  { loraScale = 0, beta = 0, math }: { loraScale?: number; beta?: number; math: MathKind },
  t: {
    dy: Operand;
    w: Operand;
    dx: Operand;
    loraA?: Operand;
    loraB?: Operand;
    loraDxa?: Operand;
    loraDx?: Operand;
  },
): void {
  const p = r.begin(Op.LINEAR_BACKWARD_INPUT, 3, 7);
  r.floats[p] = loraScale;
  r.floats[p + 1] = beta;
  r.words[p + 2] = MathMode[math];
  r.operand(t.dy);
  r.operand(t.w);
  r.operand(t.dx);
  r.operand(t.loraA);
  r.operand(t.loraB);
  r.operand(t.loraDxa);
  r.operand(t.loraDx);
}

/** dw f32 [N, K] = alpha * dy^T x + beta * dw; dbias f32 [N] = alpha * column sums of dy + beta * dbias. */
export function linearBackwardWeight(
  r: CommandRecorder,
  { alpha = 1, beta = 0, math }: { alpha?: number; beta?: number; math: MathKind },
  t: { x: Operand; dy: Operand; dw?: Operand; dbias?: Operand },
): void {
  const p = r.begin(Op.LINEAR_BACKWARD_WEIGHT, 3, 4);
  r.floats[p] = alpha;
  r.floats[p + 1] = beta;
  r.words[p + 2] = MathMode[math];
  r.operand(t.x);
  r.operand(t.dy);
  r.operand(t.dw);
  r.operand(t.dbias);
}

/** Lays a weight [N, K] out as dst.layout says. */
export function pack(
  r: CommandRecorder,
  t: { src: Operand; dst: Operand; scales?: Operand; zeros?: Operand; groupIndex?: Operand },
): void {
  r.begin(Op.PACK, 0, 5);
  r.operand(t.src);
  r.operand(t.dst);
  r.operand(t.scales);
  r.operand(t.zeros);
  r.operand(t.groupIndex);
}

/** Codes of a weight whose meaning is a table, scaled in blocks of the elements in a row (bitsandbytes' NF4). */
export interface TableCodes {
  readonly bits: 4 | 8;
  readonly codes: Operand;
  readonly table: Operand;
  readonly block: number;
  /** f32 [blocks]; or u8 codes of scales, which `nested` gives the meaning of. */
  readonly scale: Operand;
  readonly nested?: {
    readonly map: Operand;
    readonly scale: Operand;
    readonly block: number;
    readonly offset: number;
  };
}

/** Codes of a weight that are whole numbers, with a scale and a zero for each group of columns (AWQ, GPTQ). */
export interface GroupCodes {
  readonly bits: 4 | 8;
  readonly codes: Operand;
  /** float [N, G] */
  readonly scale: Operand;
  /** u8 [N, G] */
  readonly zero: Operand;
  /** i32 [K]: the group of each column; groups of neighbours without it. */
  readonly groupIndex?: Operand;
}

/** out [N, K] = the values of a weight that is kept in codes. */
export function dequantize(r: CommandRecorder, source: TableCodes | GroupCodes, out: Operand): void {
  const p = r.begin(Op.DEQUANTIZE, 4, 8);
  r.words[p] = source.bits;
  const table = 'table' in source ? source : undefined;
  const groups = 'zero' in source ? source : undefined;
  if (table) {
    r.words[p + 1] = table.block;
    r.words[p + 2] = table.nested?.block ?? 0;
    r.floats[p + 3] = table.nested?.offset ?? 0;
  }
  r.operand(source.codes);
  r.operand(source.scale);
  r.operand(table?.table);
  r.operand(groups?.zero);
  r.operand(groups?.groupIndex);
  r.operand(out);
  r.operand(table?.nested?.map);
  r.operand(table?.nested?.scale);
}

/** Codes of 4 bits of x f32 [N, K] by the nearest of 16 values of an ascending table, scaled in blocks. */
export function quantizeTable(
  r: CommandRecorder,
  { block }: { block: number },
  t: { x: Operand; table: Operand; codes: Operand; absmax: Operand },
): void {
  const p = r.begin(Op.QUANTIZE_TABLE, 1, 4);
  r.words[p] = block;
  r.operand(t.x);
  r.operand(t.table);
  r.operand(t.codes);
  r.operand(t.absmax);
}

/** Blocks q4_z [N, K] of 4-bit codes as checkpoints store them: i32 [N, K / 8], or [N / 8, K] in AWQ's order. */
export function blocksOfCodes(
  r: CommandRecorder,
  { order, group }: { order: CodeOrderKind; group: number },
  t: { codes: Operand; scales: Operand; zeros?: Operand; dst: Operand },
): void {
  const p = r.begin(Op.BLOCKS_OF_CODES, 2, 4);
  r.words[p] = CodeOrder[order];
  r.words[p + 1] = group;
  r.operand(t.codes);
  r.operand(t.scales);
  r.operand(t.zeros);
  r.operand(t.dst);
}
