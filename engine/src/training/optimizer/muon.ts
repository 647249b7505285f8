import * as commands from '../../device/commands/index.js';
import type { FloatDType } from '../../device/dtype.js';
import type { Parameter } from '../../nn/parameter.js';
import { scope } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import { RuleState, type UpdateRule } from './rule.js';

/** Of the quintic whose iteration drives singular values towards 1 (Jordan et al. 2024). */
const [linear, cubic, quintic] = [3.4445, -4.775, 2.0315];
const iterations = 5;
const smallestNorm = 1e-7;

/** Embeddings and heads are no matrices of hidden layers, though they have two dimensions. */
const outerLayers = /embed|lm_head|(^|\.)(wte|wpe)(\.|$)/;

/** Whether Muon moves a parameter; AdamW moves the others. */
export function isMuonMatrix(name: string, { shape }: Parameter): boolean {
  return shape.length === 2 && !outerLayers.test(name);
}

/**
 * Muon (Jordan et al. 2024): the momentum of a matrix, made orthogonal by Newton-Schulz iterations, Nesterov's way. The
 * rate is that of AdamW: updates are scaled to AdamW's root mean square (Liu et al. 2025, arXiv 2502.16982, eq. 4).
 * Products are in the parameter's compute precision.
 */
export function muonRule(parameter: Parameter, { momentum }: { momentum: number }): UpdateRule {
  const { device, shape, dtype } = parameter;
  const [rows, columns] = shape as [number, number];
  const state = new RuleState(parameter);
  const buffer = state.add('momentum_buffer');
  const ratio = 0.2 * Math.sqrt(Math.max(rows, columns));
  return {
    state: state.tensors,
    record: ({ learningRate, weightDecay, scale }) =>
      scope(() => {
        const { recorder } = device;
        const master = parameter.master as Tensor;
        const gradient = Tensor.empty(device, shape, 'f32');
        const factor = scale.narrow(0, 1, 1).view(shape, [0, 0]);
        commands.binary(recorder, 'mul', parameter.grad as Tensor, factor, gradient);
        commands.binary(recorder, 'add', buffer, gradient, buffer, momentum, 1 - momentum);
        commands.binary(recorder, 'add', gradient, buffer, gradient, 1 - momentum, momentum);
        const update = orthogonal(gradient, dtype);
        commands.binary(recorder, 'sub', master, update, master, 1 - learningRate * weightDecay, learningRate * ratio);
        const copy = parameter.computeCopy;
        if (copy) commands.copy(recorder, master, copy);
      }),
    [Symbol.dispose]: () => state[Symbol.dispose](),
  };
}

/** About U V^T of a matrix U S V^T, f32. */
function orthogonal(matrix: Tensor, dtype: FloatDType): Tensor {
  const { device } = matrix;
  const { recorder } = device;
  const [rows, columns] = matrix.shape as [number, number];
  const math = dtype === 'bf16' ? 'bf16' : 'f32';
  const stored = dtype === 'bf16' ? 'bf16' : 'f32';
  // The shorter side first: the products are smaller.
  const tall = rows > columns;
  const [short, long] = tall ? [columns, rows] : [rows, columns];
  const norm = Tensor.zeros(device, [1], 'f32');
  commands.reduce(recorder, 'sumSquares', matrix, norm);
  commands.unary(recorder, 'sqrt', norm, norm);
  commands.binary(recorder, 'max', norm, Tensor.full(device, [1], smallestNorm), norm);
  let x = Tensor.empty(device, [short, long], stored);
  const turned = tall ? matrix.view([short, long], [1, columns]) : matrix;
  commands.binary(recorder, 'div', turned, norm.view([short, long], [0, 0]), x);
  for (let i = 0; i < iterations; i++) {
    const gram = Tensor.empty(device, [short, short], stored);
    commands.matmul(recorder, { transB: true, math }, { a: x, b: x, c: gram });
    const polynomial = Tensor.empty(device, [short, short], stored);
    commands.copy(recorder, gram, polynomial);
    commands.matmul(recorder, { alpha: quintic, beta: cubic, math }, { a: gram, b: gram, c: polynomial });
    const next = Tensor.empty(device, [short, long], stored);
    commands.copy(recorder, x, next);
    commands.matmul(recorder, { beta: linear, math }, { a: polynomial, b: x, c: next });
    x = next;
  }
  return tall ? x.view([rows, columns], [1, rows]) : x;
}
