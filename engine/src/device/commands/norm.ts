import { Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** sum = x + residual; y = sum / sqrt(mean(sum^2) + eps) * (weight + weightOffset), for each row of the last dimension. */
export function rmsNorm(
  r: CommandRecorder,
  { eps, weightOffset = 0 }: { eps: number; weightOffset?: number },
  t: { x: Operand; residual?: Operand; weight: Operand; y: Operand; sum?: Operand; rstd?: Operand },
): void {
  const p = r.begin(Op.RMS_NORM, 2, 6);
  r.floats[p] = eps;
  r.floats[p + 1] = weightOffset;
  r.operand(t.x);
  r.operand(t.residual);
  r.operand(t.weight);
  r.operand(t.y);
  r.operand(t.sum);
  r.operand(t.rstd);
}

/** dx is the gradient of both x and residual: what comes through the norm, plus `dhIn`. dweight is added to. */
export function rmsNormBackward(
  r: CommandRecorder,
  { weightOffset = 0 }: { weightOffset?: number },
  t: { dy: Operand; h: Operand; weight: Operand; rstd: Operand; dhIn?: Operand; dx: Operand; dweight?: Operand },
): void {
  const p = r.begin(Op.RMS_NORM_BACKWARD, 1, 7);
  r.floats[p] = weightOffset;
  r.operand(t.dy);
  r.operand(t.h);
  r.operand(t.weight);
  r.operand(t.rstd);
  r.operand(t.dhIn);
  r.operand(t.dx);
  r.operand(t.dweight);
}

export function layerNorm(
  r: CommandRecorder,
  { eps }: { eps: number },
  t: {
    x: Operand;
    residual?: Operand;
    weight: Operand;
    bias?: Operand;
    y: Operand;
    sum?: Operand;
    mean?: Operand;
    rstd?: Operand;
  },
): void {
  const p = r.begin(Op.LAYER_NORM, 1, 8);
  r.floats[p] = eps;
  r.operand(t.x);
  r.operand(t.residual);
  r.operand(t.weight);
  r.operand(t.bias);
  r.operand(t.y);
  r.operand(t.sum);
  r.operand(t.mean);
  r.operand(t.rstd);
}

export function layerNormBackward(
  r: CommandRecorder,
  t: {
    dy: Operand;
    h: Operand;
    weight: Operand;
    mean: Operand;
    rstd: Operand;
    dhIn?: Operand;
    dx: Operand;
    dweight?: Operand;
    dbias?: Operand;
  },
): void {
  r.begin(Op.LAYER_NORM_BACKWARD, 0, 9);
  r.operand(t.dy);
  r.operand(t.h);
  r.operand(t.weight);
  r.operand(t.mean);
  r.operand(t.rstd);
  r.operand(t.dhIn);
  r.operand(t.dx);
  r.operand(t.dweight);
  r.operand(t.dbias);
}
