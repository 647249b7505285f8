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

function beginGrid(r: CommandRecorder, op: number, grid: QuantizeGrid, operands: number): void {
  const p = r.begin(op, 6, operands);
  r.words[p] = grid.bits;
  r.words[p + 1] = grid.groupSize;
  r.words[p + 2] = grid.symmetric ? 1 : 0;
  r.words[p + 3] = grid.shares;
  r.words[p + 4] = grid.refits;
  r.words[p + 5] = dtypeCode(grid.scaleDType);
}

/** Rounds a weight f32 [N, K] to the nearest codes of grids that it finds for each group. */
export function quantizeGroups(
  r: CommandRecorder,
  grid: QuantizeGrid,
  t: { w: Operand; importance?: Operand; codes: Operand; scales: Operand; zeros: Operand; values?: Operand },
): void {
  beginGrid(r, Op.QUANTIZE_GROUPS, grid, 6);
  r.operand(t.w);
  r.operand(t.importance);
  r.operand(t.codes);
  r.operand(t.scales);
  r.operand(t.zeros);
  r.operand(t.values);
}

/** Rounds a block of columns one after the other, each after what the errors of those before it ask for was added. */
export function quantizeBlock(
  r: CommandRecorder,
  grid: QuantizeGrid,
  t: {
    w: Operand;
    carried?: Operand;
    upper: Operand;
    columns?: Operand;
    scales: Operand;
    zeros: Operand;
    codes: Operand;
    errors: Operand;
  },
): void {
  beginGrid(r, Op.QUANTIZE_BLOCK, grid, 8);
  r.operand(t.w);
  r.operand(t.carried);
  r.operand(t.upper);
  r.operand(t.columns);
  r.operand(t.scales);
  r.operand(t.zeros);
  r.operand(t.codes);
  r.operand(t.errors);
}

/** One sweep of coordinate descent over a block of columns: scales, then codes, each to lower tr(E H E^T). */
export function quantizeSweep(
  r: CommandRecorder,
  grid: QuantizeGrid,
  t: {
    w: Operand;
    /** E H in these columns. */
    slope: Operand;
    /** H of these columns. */
    square: Operand;
    scales: Operand;
    zeros: Operand;
    codes: Operand;
    errors: Operand;
  },
): void {
  beginGrid(r, Op.QUANTIZE_SWEEP, grid, 7);
  r.operand(t.w);
  r.operand(t.slope);
  r.operand(t.square);
  r.operand(t.scales);
  r.operand(t.zeros);
  r.operand(t.codes);
  r.operand(t.errors);
}

/** Encodes a weight [N, K] in the block format of `dst`. */
export function encodeBlocks(r: CommandRecorder, t: { src: Operand; importance?: Operand; dst: Operand }): void {
  r.begin(Op.ENCODE_BLOCKS, 0, 3);
  r.operand(t.src);
  r.operand(t.importance);
  r.operand(t.dst);
}
