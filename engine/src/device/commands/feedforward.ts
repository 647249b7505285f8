import { Op, Unary, type UnaryKind } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** out = activation(gate) * up. */
export function glu(r: CommandRecorder, activation: UnaryKind, t: { gate: Operand; up: Operand; out: Operand }): void {
  const p = r.begin(Op.GLU, 1, 3);
  r.words[p] = Unary[activation];
  r.operand(t.gate);
  r.operand(t.up);
  r.operand(t.out);
}

export function gluBackward(
  r: CommandRecorder,
  activation: UnaryKind,
  t: { gate: Operand; up: Operand; dout: Operand; dgate: Operand; dup: Operand },
): void {
  const p = r.begin(Op.GLU_BACKWARD, 1, 5);
  r.words[p] = Unary[activation];
  r.operand(t.gate);
  r.operand(t.up);
  r.operand(t.dout);
  r.operand(t.dgate);
  r.operand(t.dup);
}
