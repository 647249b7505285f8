import { type MathKind, MathMode, Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

export interface CrossEntropyParams {
  ignoreIndex?: number;
  /** Gradients are those of sum_t gradScale * rowWeight[t] * loss[t]. */
  gradScale?: number;
  /** 0 is off. */
  softcap?: number;
  labelSmoothing?: number;
  logitScale?: number;
  math: MathKind;
}

/** Linear + softmax + cross-entropy without the logits of all rows at once; writes whichever outputs are given. */
export function crossEntropy(
  r: CommandRecorder,
  { ignoreIndex = -100, gradScale = 1, softcap = 0, labelSmoothing = 0, logitScale = 1, math }: CrossEntropyParams,
  t: {
    x: Operand;
    w: Operand;
    bias?: Operand;
    labels: Operand;
    rowWeight?: Operand;
    nll: Operand;
    dx?: Operand;
    dw?: Operand;
    dbias?: Operand;
    wBackward?: Operand;
    entropy?: Operand;
    lse?: Operand;
    argmax?: Operand;
  },
): void {
  const p = r.begin(Op.CROSS_ENTROPY, 6, 13);
  r.ints[p] = ignoreIndex;
  r.floats[p + 1] = gradScale;
  r.floats[p + 2] = softcap;
  r.floats[p + 3] = labelSmoothing;
  r.floats[p + 4] = logitScale;
  r.words[p + 5] = MathMode[math];
  r.operand(t.x);
  r.operand(t.w);
  r.operand(t.bias);
  r.operand(t.labels);
  r.operand(t.rowWeight);
  r.operand(t.nll);
  r.operand(t.dx);
  r.operand(t.dw);
  r.operand(t.dbias);
  r.operand(t.wBackward);
  r.operand(t.entropy);
  r.operand(t.lse);
  r.operand(t.argmax);
}
