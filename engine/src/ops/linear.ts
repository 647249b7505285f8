import { currentTape, type Gradients } from '../autograd/tape.js';
import type { RandomKey } from '../device/commands/data.js';
import * as commands from '../device/commands/index.js';
import { type FloatDType, isBlockFormat } from '../device/dtype.js';
import type { MathKind, UnaryKind } from '../device/opcodes.js';
import type { Parameter } from '../nn/parameter.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { unary } from './elementwise.js';

/** A low-rank branch beside a linear layer: y += scale * dropout(x) a^T b^T, a [r, K], b [N, r]. */
export interface LoraBranch {
  readonly a: Parameter;
  readonly b: Parameter;
  readonly scale: number;
  /** Of the input of the branch, while training. */
  readonly dropout?: { readonly probability: number; readonly key: RandomKey };
}

/** Several adapters in one batch: row m uses adapter ids[m] (-1: none). The scale is folded into `b`. */
export interface LoraStack {
  /** [n, r, K] */
  readonly a: Tensor;
  /** [n, N, r] */
  readonly b: Tensor;
  /** i32 [M] */
  readonly ids: Tensor;
}

export interface LinearOptions {
  readonly bias?: Parameter;
  readonly lora?: LoraBranch;
  readonly stack?: LoraStack;
  readonly activation?: UnaryKind;
  /** Of the result; that of x unless given. */
  readonly dtype?: FloatDType;
}

/** In which precision products with activations of a type are formed. */
export function mathOf(x: Tensor): MathKind {
  return x.dtype === 'bf16' ? 'bf16' : 'f32';
}

/**
 * The same for a product with a weight that no gradient needs: against one in its own bits, activations that are not f32
 * may be rounded as the device does best, on processors to 8 bits.
 */
function servingMath(x: Tensor, w: Tensor): MathKind {
  const packed = x.dtype === 'bf16' && w.layout === 'packedForward' && isBlockFormat(w.dtype);
  return packed ? x.device.properties.packedMath : mathOf(x);
}

/** A weight as LINEAR takes it, and x [M, K] with its columns in the weight's order: x itself, or the caller's to dispose. */
export function meeting(weight: Parameter, x: Tensor): { readonly w: Tensor; readonly input: Tensor } {
  const { w, order } = weight.forLinear();
  if (!order) return { w, input: x };
  const input = Tensor.empty(x.device, x.shape, x.dtype);
  commands.gatherColumns(x.device.recorder, { x, index: order, out: input });
  return { w, input };
}

/** y [M, N] = activation(x [M, K] weight^T + bias + LoRA). */
export function linear(x: Tensor, weight: Parameter, options: LinearOptions = {}): Tensor {
  const { bias, lora, stack, activation = 'identity' } = options;
  const tape = currentTape();
  const tracked =
    tape !== undefined &&
    (x.requiresGrad || weight.trainable || bias?.trainable || lora?.a.trainable || lora?.b.trainable);
  if (tracked && activation !== 'identity') {
    // The gradient of an activation needs its input.
    return scope(() => unary(activation, linear(x, weight, { ...options, activation: 'identity' })));
  }
  const { device } = x;
  const { w, input } = meeting(weight, x);
  const math = tracked ? mathOf(x) : servingMath(x, w);
  const [rows] = x.shape as [number, number];
  const y = Tensor.empty(device, [rows, weight.shape[0]!], options.dtype ?? (x.dtype as FloatDType));
  const dropped = lora?.dropout ? droppedOut(x, lora) : undefined;
  // The branch reads the columns as they are.
  const loraX = dropped ?? (input !== x && (lora ?? stack) ? x : undefined);
  const keepXa = tracked && lora?.b.trainable;
  const xa = keepXa ? Tensor.empty(device, [rows, lora!.a.shape[0]!], x.dtype) : undefined;
  commands.linear(
    device.recorder,
    { loraScale: lora?.scale ?? (stack ? 1 : 0), math, activation },
    {
      x: input,
      w,
      bias: bias?.value(),
      y,
      loraX,
      loraA: lora?.a.value() ?? stack?.a,
      loraB: lora?.b.value() ?? stack?.b,
      loraXa: xa,
      adapter: stack?.ids,
    },
  );
  weight.giveBack(w);
  dropped?.dispose();
  if (input !== x) input.dispose();
  if (!tracked) return y;
  const needsX = weight.trainable || bias?.trainable || lora?.a.trainable;
  tape.record({
    name: `linear ${weight.name}`,
    inputs: [x],
    outputs: [y],
    saved: [needsX ? x : undefined, xa],
    backward: (gradients, [savedX, savedXa]) =>
      linearBackward(gradients, { x, savedX, savedXa, y, weight, bias, lora, math }),
  });
  xa?.dispose();
  return y;
}

interface LinearSaved {
  /** For its shape and identity; its memory may be gone. */
  x: Tensor;
  savedX: Tensor | undefined;
  savedXa: Tensor | undefined;
  y: Tensor;
  weight: Parameter;
  bias: Parameter | undefined;
  lora: LoraBranch | undefined;
  math: MathKind;
}

function linearBackward(gradients: Gradients, saved: LinearSaved): void {
  const { x, savedX, savedXa, weight, bias, lora, math } = saved;
  const { recorder } = x.device;
  const dy = gradients.of(saved.y)!;
  const dxa = linearBackwardInput(gradients, dy, saved);
  weightGradients(dy, savedX, weight, bias, math);
  if (!lora) return;
  if (lora.b.trainable) {
    const { tensor: dw, beta } = lora.b.gradient();
    commands.linearBackwardWeight(recorder, { alpha: lora.scale, beta, math }, { x: savedXa!, dy, dw });
  }
  if (lora.a.trainable && dxa) {
    const { tensor: dw, beta } = lora.a.gradient();
    const loraX = lora.dropout ? droppedOut(savedX!, lora) : savedX!;
    commands.linearBackwardWeight(recorder, { beta, math }, { x: loraX, dy: dxa, dw });
  }
}

/** The gradient of x, when it is wanted; returns that of x a^T when the branch is trained. */
function linearBackwardInput(gradients: Gradients, dy: Tensor, saved: LinearSaved): Tensor | undefined {
  const { x, weight, lora, math } = saved;
  const { device } = x;
  const rows = x.shape[0]!;
  const wantsA = lora?.a.trainable;
  const rank = lora?.a.shape[0] ?? 0;
  if (!gradients.wants(x)) {
    if (!wantsA) return undefined;
    const dxa = Tensor.empty(device, [rows, rank], x.dtype);
    // dy b is the product with b as a weight [N, r]; dxa carries the scale, as it does below.
    commands.matmul(device.recorder, { alpha: lora!.scale, math }, { a: dy, b: lora!.b.value(), c: dxa });
    return dxa;
  }
  const { tensor: dx, beta } = gradients.into(x);
  const dxa = lora ? Tensor.empty(device, [rows, rank], x.dtype) : undefined;
  const loraDx = lora?.dropout ? Tensor.empty(device, x.shape, dx.dtype) : undefined;
  const w = weight.backward();
  commands.linearBackwardInput(
    device.recorder,
    { loraScale: lora?.scale ?? 0, beta, math },
    { dy, w, dx, loraA: lora?.a.value(), loraB: lora?.b.value(), loraDxa: dxa, loraDx },
  );
  weight.giveBack(w);
  if (loraDx) {
    const { probability, key } = lora!.dropout!;
    commands.dropout(device.recorder, probability, key, loraDx, loraDx);
    commands.binary(device.recorder, 'add', dx, loraDx, dx);
  }
  return dxa;
}

function weightGradients(
  dy: Tensor,
  x: Tensor | undefined,
  weight: Parameter,
  bias: Parameter | undefined,
  math: MathKind,
): void {
  const { recorder } = dy.device;
  const dw = weight.trainable ? weight.gradient() : undefined;
  const dbias = bias?.trainable ? bias.gradient() : undefined;
  if (dw && dbias && dw.beta === dbias.beta) {
    commands.linearBackwardWeight(recorder, { beta: dw.beta, math }, { x: x!, dy, dw: dw.tensor, dbias: dbias.tensor });
    return;
  }
  if (dw) commands.linearBackwardWeight(recorder, { beta: dw.beta, math }, { x: x!, dy, dw: dw.tensor });
  if (dbias) commands.linearBackwardWeight(recorder, { beta: dbias.beta, math }, { x: x!, dy, dbias: dbias.tensor });
}

function droppedOut(x: Tensor, lora: LoraBranch): Tensor {
  const { probability, key } = lora.dropout!;
  const out = Tensor.empty(x.device, x.shape, x.dtype);
  commands.dropout(x.device.recorder, probability, key, x, out);
  return out;
}
