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

/**
 * Divergence of the softmaxes of two logits [R, V] over a temperature: beta 0 is KL(teacher || student), 1 is
 * KL(student || teacher), between them the generalised Jensen-Shannon divergence. The student's logits become the gradient
 * of sum_r scale * rowWeight[r] * loss[r] with respect to them.
 */
export function divergence(
  r: CommandRecorder,
  { temperature, beta, scale }: { temperature: number; beta: number; scale: number },
  t: { student: Operand; teacher: Operand; rowWeight?: Operand; loss: Operand },
): void {
  const p = r.begin(Op.DIVERGENCE, 3, 4);
  r.floats[p] = temperature;
  r.floats[p + 1] = beta;
  r.floats[p + 2] = scale;
  r.operand(t.student);
  r.operand(t.teacher);
  r.operand(t.rowWeight);
  r.operand(t.loss);
}
