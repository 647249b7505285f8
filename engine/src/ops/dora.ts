import { currentTape, type Gradients } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { Parameter } from '../nn/parameter.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { type LoraBranch, linear, mathOf, meeting } from './linear.js';

/** What DoRA needs of a layer beside its branch. */
export interface DoraScale {
  /** f32 [N]: the length of each row of the adapted weight. */
  readonly magnitude: Parameter;
  /** f32 [N]: sums of squares of the rows of the frozen weight. */
  readonly rowSquares: Tensor;
}

/**
 * y [M, N] = m / |W + s B A| * (x (W + s B A)^T) + bias, row by row of the weight: weight-decomposed low-rank adaptation
 * (Liu et al. 2024, DoRA, eq. 5). As in its section 4.3, the norms count as constants in the backward pass.
 */
export function doraLinear(
  x: Tensor,
  weight: Parameter,
  branch: LoraBranch,
  { magnitude, rowSquares }: DoraScale,
  bias: Parameter | undefined,
): Tensor {
  return scope(() => {
    const { recorder } = x.device;
    const z = linear(x, weight, { lora: branch });
    const norm = rowNorms(weight, branch, rowSquares, x);
    const factor = Tensor.empty(x.device, norm.shape, 'f32');
    commands.binary(recorder, 'div', magnitude.value(), norm, factor);
    const y = Tensor.empty(x.device, z.shape, z.dtype);
    commands.binary(recorder, 'mul', z, everyRow(factor, z), y);
    if (bias) commands.binary(recorder, 'add', y, everyRow(bias.value(), z), y);
    const tape = currentTape();
    if (!tape || !(z.requiresGrad || magnitude.trainable || bias?.trainable)) return y;
    tape.record({
      name: `dora ${weight.name}`,
      inputs: [z],
      outputs: [y],
      saved: [z, norm, factor],
      backward: (gradients, [savedZ, savedNorm, savedFactor]) =>
        doraBackward(gradients, y, { z, savedZ, norm: savedNorm, factor: savedFactor, magnitude, bias } as DoraSaved),
    });
    return y;
  });
}

/** |W + s B A| of each row, f32 [N], from products with the branch alone: the adapted weight is never made. */
export function rowNorms(weight: Parameter, { a, b, scale }: LoraBranch, rowSquares: Tensor, like: Tensor): Tensor {
  return scope(() => {
    const { device } = weight;
    const { recorder } = device;
    const math = mathOf(like);
    const [rank, rows] = [a.shape[0]!, weight.shape[0]!];
    const { w, input } = meeting(weight, a.value());
    const aw = Tensor.empty(device, [rank, rows], 'f32');
    commands.linear(recorder, { math }, { x: input, w, y: aw });
    weight.giveBack(w);
    const gram = Tensor.empty(device, [rank, rank], 'f32');
    commands.matmul(recorder, { transB: true, math }, { a: a.value(), b: a.value(), c: gram });
    // |w + s b A|^2 = |w|^2 + b (2 s A w + s^2 A A^T b)
    const inner = Tensor.empty(device, [rows, rank], 'f32');
    commands.copy(recorder, aw.view([rows, rank], [1, rows]), inner);
    commands.matmul(recorder, { alpha: scale ** 2, beta: 2 * scale, math }, { a: b.value(), b: gram, c: inner });
    commands.binary(recorder, 'mul', b.value(), inner, inner);
    const norm = Tensor.empty(device, [rows], 'f32');
    commands.reduce(recorder, 'sum', inner, norm);
    commands.binary(recorder, 'add', rowSquares, norm, norm);
    commands.unary(recorder, 'sqrt', norm, norm);
    return norm;
  });
}

interface DoraSaved {
  /** For its identity; its memory may be gone. */
  z: Tensor;
  savedZ: Tensor;
  norm: Tensor;
  factor: Tensor;
  magnitude: Parameter;
  bias: Parameter | undefined;
}

function doraBackward(gradients: Gradients, y: Tensor, { z, savedZ, norm, factor, magnitude, bias }: DoraSaved): void {
  const { device } = savedZ;
  const { recorder } = device;
  const dy = gradients.of(y)!;
  const math = mathOf(savedZ);
  if (magnitude.trainable) {
    const products = Tensor.empty(device, savedZ.shape, 'f32');
    commands.binary(recorder, 'mul', dy, savedZ, products);
    const sums = Tensor.empty(device, norm.shape, 'f32');
    commands.linearBackwardWeight(recorder, { math: 'f32' }, { x: savedZ, dy: products, dbias: sums });
    commands.binary(recorder, 'div', sums, norm, sums);
    const gradient = magnitude.gradientToAdd();
    commands.binary(recorder, 'add', gradient, sums, gradient);
  }
  if (bias?.trainable) {
    const { tensor: dbias, beta } = bias.gradient();
    commands.linearBackwardWeight(recorder, { beta, math }, { x: savedZ, dy, dbias });
  }
  if (!gradients.wants(z)) return;
  const dz = Tensor.empty(device, savedZ.shape, savedZ.dtype);
  commands.binary(recorder, 'mul', dy, everyRow(factor, savedZ), dz);
  gradients.add(z, dz);
}

/** A vector [N] seen as the rows of [M, N]. */
function everyRow(vector: Tensor, like: Tensor): Tensor {
  return vector.view(like.shape, [0, 1]);
}
