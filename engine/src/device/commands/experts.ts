import { type MathKind, MathMode, Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** Chooses the `topK` largest of each row of probs [T, E]; backend.h says how rows, offsets and weights are ordered. */
export function route(
  r: CommandRecorder,
  { topK, normalize }: { topK: number; normalize: boolean },
  t: { probs: Operand; rows: Operand; offsets: Operand; weights: Operand },
): void {
  const p = r.begin(Op.ROUTE, 2, 4);
  r.words[p] = topK;
  r.words[p + 1] = normalize ? 1 : 0;
  r.operand(t.probs);
  r.operand(t.rows);
  r.operand(t.offsets);
  r.operand(t.weights);
}

/** Gradient of the logits whose softmax `probs` is, by that of the weights of ROUTE. */
export function routeBackward(
  r: CommandRecorder,
  { normalize }: { normalize: boolean },
  t: { probs: Operand; rows: Operand; offsets: Operand; weights: Operand; dweights: Operand; dlogits: Operand },
): void {
  const p = r.begin(Op.ROUTE_BACKWARD, 1, 6);
  r.words[p] = normalize ? 1 : 0;
  r.operand(t.probs);
  r.operand(t.rows);
  r.operand(t.offsets);
  r.operand(t.weights);
  r.operand(t.dweights);
  r.operand(t.dlogits);
}

/** y [M, N] = x [M, K] times the transpose of w [E, N, K] of each row's group; group e ends at offsets[e + 1]. */
export function groupedLinear(
  r: CommandRecorder,
  { math }: { math: MathKind },
  t: { x: Operand; offsets: Operand; w: Operand; y: Operand },
): void {
  const p = r.begin(Op.GROUPED_LINEAR, 1, 4);
  r.words[p] = MathMode[math];
  r.operand(t.x);
  r.operand(t.offsets);
  r.operand(t.w);
  r.operand(t.y);
}

/** dx [M, K] = dy [M, N] times w [E, N, K] of each row's group. */
export function groupedLinearBackwardInput(
  r: CommandRecorder,
  { math }: { math: MathKind },
  t: { dy: Operand; offsets: Operand; w: Operand; dx: Operand },
): void {
  const p = r.begin(Op.GROUPED_LINEAR_BACKWARD_INPUT, 1, 4);
  r.words[p] = MathMode[math];
  r.operand(t.dy);
  r.operand(t.offsets);
  r.operand(t.w);
  r.operand(t.dx);
}

/** dw [E, N, K] = dy^T x over the rows of each group + beta * dw. */
export function groupedLinearBackwardWeight(
  r: CommandRecorder,
  { beta, math }: { beta: number; math: MathKind },
  t: { x: Operand; dy: Operand; offsets: Operand; dw: Operand },
): void {
  const p = r.begin(Op.GROUPED_LINEAR_BACKWARD_WEIGHT, 2, 4);
  r.floats[p] = beta;
  r.words[p + 1] = MathMode[math];
  r.operand(t.x);
  r.operand(t.dy);
  r.operand(t.offsets);
  r.operand(t.dw);
}
