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
