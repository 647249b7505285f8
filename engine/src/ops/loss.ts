import { currentTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { Parameter } from '../nn/parameter.js';
import { Tensor } from '../tensor/tensor.js';
import { mathOf } from './linear.js';

export interface CrossEntropyOptions {
  /**
   * Gradients are those of sum_t gradScale * rowWeight[t] * loss[t], computed together with the loss. Without it the
   * loss is a value like any other: the backward pass takes the gradient of `nll` and computes the product again.
   */
  readonly gradScale?: number;
  /** f32 [T] */
  readonly rowWeight?: Tensor;
  /** Gradients are those of (1 - s) * nll + s * mean_v(-log p(v)); `nll` itself stays -log p(label). */
  readonly labelSmoothing?: number;
  readonly ignoreIndex?: number;
  readonly logitScale?: number;
  /** 0 is off. */
  readonly softcap?: number;
  readonly bias?: Parameter;
  /** Further results wanted for each row. */
  readonly outputs?: { readonly entropy?: boolean; readonly lse?: boolean; readonly argmax?: boolean };
}

export interface CrossEntropyResult {
  /** f32 [T]: -log p(label); 0 where the label is ignored. */
  readonly nll: Tensor;
  /** f32 [T] */
  readonly entropy?: Tensor;
  /** f32 [T]: log sum exp of the logits. */
  readonly lse?: Tensor;
  /** i32 [T] */
  readonly argmax?: Tensor;
}

/**
 * Cross-entropy of softmax(x head^T) against labels i32 [T], without the logits of all rows at once. Rows whose label is
 * `ignoreIndex` (-100) cost nothing.
 */
export function crossEntropy(
  x: Tensor,
  head: Parameter,
  labels: Tensor,
  options: CrossEntropyOptions = {},
): CrossEntropyResult {
  const { device } = x;
  const { gradScale, rowWeight, bias, outputs = {} } = options;
  const rows = x.shape[0]!;
  const params = {
    ignoreIndex: options.ignoreIndex ?? -100,
    labelSmoothing: options.labelSmoothing ?? 0,
    logitScale: options.logitScale ?? 1,
    softcap: options.softcap ?? 0,
    math: mathOf(x),
  };
  const tape = currentTape();
  const tracked = tape !== undefined && (x.requiresGrad || head.trainable || bias?.trainable === true);
  const fused = tracked && gradScale !== undefined;
  const nll = Tensor.empty(device, [rows], 'f32');
  const entropy = outputs.entropy ? Tensor.empty(device, [rows], 'f32') : undefined;
  const lse = outputs.lse ? Tensor.empty(device, [rows], 'f32') : undefined;
  const argmax = outputs.argmax ? Tensor.empty(device, [rows], 'i32') : undefined;
  const dx = fused && x.requiresGrad ? Tensor.empty(device, x.shape, x.dtype) : undefined;
  const gradientOperands = (input: Tensor, wantsDx: boolean, gradient: Tensor | undefined) => ({
    x: input,
    w: head.forward(),
    bias: bias?.value(),
    dx: gradient,
    dw: head.trainable ? head.gradientToAdd() : undefined,
    dbias: bias?.trainable ? bias.gradientToAdd() : undefined,
    wBackward: wantsDx && !head.trainable ? packedHead(head) : undefined,
  });
  const operands = fused ? gradientOperands(x, x.requiresGrad, dx) : { x, w: head.forward(), bias: bias?.value() };
  commands.crossEntropy(
    device.recorder,
    { ...params, gradScale: gradScale ?? 1 },
    { ...operands, labels, rowWeight, nll, entropy, lse, argmax },
  );
  if (fused) {
    tape.record({
      name: 'crossEntropy',
      inputs: [x],
      outputs: [nll],
      saved: [dx],
      root: true,
      backward(gradients, [savedDx]) {
        if (savedDx) gradients.add(x, savedDx);
      },
    });
    dx?.dispose();
  } else if (tracked) {
    tape.record({
      name: 'crossEntropy',
      inputs: [x],
      outputs: [nll],
      saved: [x, labels, rowWeight],
      backward(gradients, [savedX, savedLabels, savedRowWeight]) {
        const dnll = gradients.of(nll)!;
        const weight = Tensor.empty(device, [rows], 'f32');
        if (savedRowWeight) commands.binary(device.recorder, 'mul', dnll, savedRowWeight, weight);
        const wantsDx = gradients.wants(x);
        const gradient = wantsDx ? Tensor.empty(device, x.shape, x.dtype) : undefined;
        commands.crossEntropy(
          device.recorder,
          { ...params, gradScale: 1 },
          {
            ...gradientOperands(savedX!, wantsDx, gradient),
            labels: savedLabels!,
            rowWeight: savedRowWeight ? weight : dnll,
            nll: Tensor.empty(device, [rows], 'f32'),
          },
        );
        if (gradient) gradients.add(x, gradient);
      },
    });
  }
  return { nll, entropy, lse, argmax };
}

/**
 * Mean squared error of each row: the mean over the last dimension of (x - target)^2, with its gradient.
 * @param x f32 [R, D]
 * @param target f32 [R, D]
 * @param gradScale gradients are those of gradScale * the sum of the rows
 * @returns f32 [R]; on the tape they are a root: they bring their gradient with them
 */
export function squaredError(x: Tensor, target: Tensor, gradScale: number): Tensor {
  const { device } = x;
  const { recorder } = device;
  const [rows, width] = x.shape as [number, number];
  const difference = Tensor.empty(device, x.shape, 'f32');
  const squares = Tensor.empty(device, x.shape, 'f32');
  const losses = Tensor.empty(device, [rows], 'f32');
  commands.binary(recorder, 'sub', x, target, difference);
  commands.binary(recorder, 'mul', difference, difference, squares, 1 / width);
  commands.reduce(recorder, 'sum', squares, losses);
  squares.dispose();
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    commands.binary(recorder, 'add', difference, difference, difference, gradScale / width, gradScale / width);
    tape.record({
      name: 'squaredError',
      inputs: [x],
      outputs: [losses],
      saved: [difference],
      root: true,
      backward: (gradients, [gradient]) => gradients.add(x, gradient as Tensor),
    });
  }
  difference.dispose();
  return losses;
}

/** A head that the backend keeps packed for the gradient of its input; others serve as they are. */
function packedHead(head: Parameter): Tensor | undefined {
  const packed = head.packedBackward();
  return packed.layout === 'packedBackward' ? packed : undefined;
}
