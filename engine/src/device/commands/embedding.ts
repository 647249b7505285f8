import { Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** out [T, D] = scale * table[ids]; `accumulate` adds to `out`. The table may be in a block format. */
export function embedding(
  r: CommandRecorder,
  ids: Operand,
  table: Operand,
  out: Operand,
  scale = 1,
  accumulate = false,
): void {
  const p = r.begin(Op.EMBEDDING, 2, 3);
  r.floats[p] = scale;
  r.words[p + 1] = accumulate ? 1 : 0;
  r.operand(ids);
  r.operand(table);
  r.operand(out);
}

/** dtable f32 [V, D] += scale * dout at ids; an id of -1 is skipped. */
export function embeddingBackward(r: CommandRecorder, ids: Operand, dout: Operand, dtable: Operand, scale = 1): void {
  const p = r.begin(Op.EMBEDDING_BACKWARD, 1, 3);
  r.floats[p] = scale;
  r.operand(ids);
  r.operand(dout);
  r.operand(dtable);
}

/** out[m, n] = x[m, index[n]]: columns of x [M, K] in another order, or some of them. `index` is i32 [N]. */
export function gatherColumns(r: CommandRecorder, t: { x: Operand; index: Operand; out: Operand }): void {
  r.begin(Op.GATHER_COLUMNS, 0, 3);
  r.operand(t.x);
  r.operand(t.index);
  r.operand(t.out);
}
