import { Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** A device's place among several that work as one. */
export interface GroupPlace {
  /** The group's number within the process. */
  readonly group: number;
  readonly rank: number;
  readonly ways: number;
}

function begin(r: CommandRecorder, op: number, { group, rank, ways }: GroupPlace, operands: number): void {
  const p = r.begin(op, 3, operands);
  r.words[p] = group;
  r.words[p + 1] = rank;
  r.words[p + 2] = ways;
}

/** x = the sum of every device's x; contiguous. */
export function allReduce(r: CommandRecorder, place: GroupPlace, x: Operand): void {
  begin(r, Op.ALL_REDUCE, place, 1);
  r.operand(x);
}

/** out [ways, ...] = every device's x by rank; contiguous. */
export function allGather(r: CommandRecorder, place: GroupPlace, x: Operand, out: Operand): void {
  begin(r, Op.ALL_GATHER, place, 2);
  r.operand(x);
  r.operand(out);
}
