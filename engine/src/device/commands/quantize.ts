import { type DType, dtypeCode } from '../dtype.js';
import { Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** How the grids of groups are found, as QUANTIZE_GROUPS and QUANTIZE_BLOCK take it. */
export interface QuantizeGrid {
  readonly bits: number;
  readonly groupSize: number;
  /** A zero in the middle; else each group has its own. */
  readonly symmetric: boolean;
  /** Ranges that are tried: the whole one, and each 0.02 of it less than the one before. */
  readonly shares: number;
  /** Least-squares fits of the scale to the codes that follow. */
  readonly refits: number;
  /** What scales are stored as. */
  readonly scaleDType: Extract<DType, 'f32' | 'f16' | 'bf16'>;
}

/** Operands are in the order of backend.h; undefined where an optional one is left out. */
function record(r: CommandRecorder, op: number, grid: QuantizeGrid, operands: readonly (Operand | undefined)[]): void {
  const p = r.begin(op, 6, operands.length);
  r.words[p] = grid.bits;
  r.words[p + 1] = grid.groupSize;
  r.words[p + 2] = grid.symmetric ? 1 : 0;
  r.words[p + 3] = grid.shares;
  r.words[p + 4] = grid.refits;
  r.words[p + 5] = dtypeCode(grid.scaleDType);
  for (const operand of operands) r.operand(operand);
}

/** Codes u8 with the scales and zeros f32 of their groups. */
interface Codes {
  readonly scales: Operand;
  readonly zeros: Operand;
  readonly codes: Operand;
}

/** Rounds a weight f32 [N, K] to the nearest codes of grids that it finds for each group. */
export function quantizeGroups(
  r: CommandRecorder,
  grid: QuantizeGrid,
  t: Codes & { w: Operand; importance?: Operand; values?: Operand },
): void {
  record(r, Op.QUANTIZE_GROUPS, grid, [t.w, t.importance, t.codes, t.scales, t.zeros, t.values]);
}

/** Rounds a block of columns one after the other, each after what the errors of those before it ask for was added. */
export function quantizeBlock(
  r: CommandRecorder,
  grid: QuantizeGrid,
  t: Codes & { w: Operand; carried?: Operand; upper: Operand; columns?: Operand; errors: Operand },
): void {
  const { w, carried, upper, columns, scales, zeros, codes, errors } = t;
  record(r, Op.QUANTIZE_BLOCK, grid, [w, carried, upper, columns, scales, zeros, codes, errors]);
}

/**
 * One sweep of coordinate descent over a block of columns: scales, then codes, each to lower tr(E H E^T). `slope` is E H in
 * these columns, `square` H of them.
 */
export function quantizeSweep(
  r: CommandRecorder,
  grid: QuantizeGrid,
  t: Codes & { w: Operand; slope: Operand; square: Operand; errors: Operand },
): void {
  record(r, Op.QUANTIZE_SWEEP, grid, [t.w, t.slope, t.square, t.scales, t.zeros, t.codes, t.errors]);
}

/** Encodes a weight [N, K] in the block format of `dst`. */
export function encodeBlocks(r: CommandRecorder, t: { src: Operand; importance?: Operand; dst: Operand }): void {
  r.begin(Op.ENCODE_BLOCKS, 0, 3);
  r.operand(t.src);
  r.operand(t.importance);
  r.operand(t.dst);
}
