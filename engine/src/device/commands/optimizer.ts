import { Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/**
 * out[0] = gradScale * sqrt(sumSquares), the norm; out[1] = gradScale * min(1, maxNorm / (norm + 1e-6)), what AdamW
 * multiplies gradients by. maxNorm <= 0 clips nothing.
 */
export function clipScale(
  r: CommandRecorder,
  { maxNorm, gradScale = 1 }: { maxNorm: number; gradScale?: number },
  t: { sumSquares: Operand; out: Operand },
): void {
  const p = r.begin(Op.CLIP_SCALE, 2, 2);
  r.floats[p] = maxNorm;
  r.floats[p + 1] = gradScale;
  r.operand(t.sumSquares);
  r.operand(t.out);
}

export interface AdamWParams {
  learningRate: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** 1 - beta1^step */
  biasCorrection1: number;
  /** 1 - beta2^step */
  biasCorrection2: number;
}

/** One step with decoupled decay; `copy` receives the new parameter in half precision. */
export function adamw(
  r: CommandRecorder,
  params: AdamWParams,
  t: { param: Operand; grad: Operand; m: Operand; v: Operand; scale?: Operand; copy?: Operand },
): void {
  const p = r.begin(Op.ADAMW, 7, 6);
  r.floats[p] = params.learningRate;
  r.floats[p + 1] = params.beta1;
  r.floats[p + 2] = params.beta2;
  r.floats[p + 3] = params.eps;
  r.floats[p + 4] = params.weightDecay;
  r.floats[p + 5] = params.biasCorrection1;
  r.floats[p + 6] = params.biasCorrection2;
  r.operand(t.param);
  r.operand(t.grad);
  r.operand(t.m);
  r.operand(t.v);
  r.operand(t.scale);
  r.operand(t.copy);
}
