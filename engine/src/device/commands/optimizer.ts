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
  adamwParams(r, r.begin(Op.ADAMW, 7, 6), params);
  r.operand(t.param);
  r.operand(t.grad);
  r.operand(t.m);
  r.operand(t.v);
  r.operand(t.scale);
  r.operand(t.copy);
}

/** A moment of `adamw8bit`: codes in the parameter's shape, the largest magnitude of each 256 elements, what codes mean. */
export interface CodedMoment {
  codes: Operand;
  absmax: Operand;
  map: Operand;
}

/** One step of AdamW with moments of 8 bits in blocks (Dettmers et al. 2022). */
export function adamw8bit(
  r: CommandRecorder,
  params: AdamWParams,
  t: { param: Operand; grad: Operand; m: CodedMoment; v: CodedMoment; scale?: Operand; copy?: Operand },
): void {
  adamwParams(r, r.begin(Op.ADAMW_8BIT, 7, 10), params);
  r.operand(t.param);
  r.operand(t.grad);
  r.operand(t.m.codes);
  r.operand(t.v.codes);
  r.operand(t.m.absmax);
  r.operand(t.v.absmax);
  r.operand(t.m.map);
  r.operand(t.v.map);
  r.operand(t.scale);
  r.operand(t.copy);
}

function adamwParams(r: CommandRecorder, p: number, params: AdamWParams): void {
  r.floats[p] = params.learningRate;
  r.floats[p + 1] = params.beta1;
  r.floats[p + 2] = params.beta2;
  r.floats[p + 3] = params.eps;
  r.floats[p + 4] = params.weightDecay;
  r.floats[p + 5] = params.biasCorrection1;
  r.floats[p + 6] = params.biasCorrection2;
}

/** One step of Lion (Chen et al. 2023): the sign of a momentum, with decoupled decay. */
export function lion(
  r: CommandRecorder,
  params: { learningRate: number; beta1: number; beta2: number; weightDecay: number },
  t: { param: Operand; grad: Operand; m: Operand; scale?: Operand; copy?: Operand },
): void {
  const p = r.begin(Op.LION, 4, 5);
  r.floats[p] = params.learningRate;
  r.floats[p + 1] = params.beta1;
  r.floats[p + 2] = params.beta2;
  r.floats[p + 3] = params.weightDecay;
  r.operand(t.param);
  r.operand(t.grad);
  r.operand(t.m);
  r.operand(t.scale);
  r.operand(t.copy);
}

/**
 * One step of Adafactor (Shazeer & Stern 2018) at a given rate. Second moments of a matrix are kept by row and column;
 * without `column`, `row` has the parameter's shape.
 */
export function adafactor(
  r: CommandRecorder,
  params: { learningRate: number; beta2: number; eps: number; threshold: number; weightDecay: number },
  t: { param: Operand; grad: Operand; row: Operand; column?: Operand; scale?: Operand; copy?: Operand },
): void {
  const p = r.begin(Op.ADAFACTOR, 5, 6);
  r.floats[p] = params.learningRate;
  r.floats[p + 1] = params.beta2;
  r.floats[p + 2] = params.eps;
  r.floats[p + 3] = params.threshold;
  r.floats[p + 4] = params.weightDecay;
  r.operand(t.param);
  r.operand(t.grad);
  r.operand(t.row);
  r.operand(t.column);
  r.operand(t.scale);
  r.operand(t.copy);
}
