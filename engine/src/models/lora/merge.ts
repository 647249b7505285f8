import * as commands from '../../device/commands/index.js';
import type { Linear } from '../../nn/linear.js';
import type { Parameter } from '../../nn/parameter.js';
import { scope } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import type { LanguageModel } from '../model.js';
import { detachLora } from './attach.js';

/** The weight of a layer with its branch added, W + scale * B A (DoRA: and its rows scaled), in f32: what is saved is rounded once. */
export function mergedWeight({ weight, adapter }: Linear): Tensor {
  const merged = weight.toFloat32();
  if (!adapter) return merged;
  const { a, b, scale, dora } = adapter;
  using left = b.toFloat32();
  using right = a.toFloat32();
  commands.matmul(weight.device.recorder, { alpha: scale, beta: 1, math: 'f32' }, { a: left, b: right, c: merged });
  if (dora) scaleRows(merged, dora.magnitude);
  return merged;
}

/** Gives each row of a matrix the length that DoRA learnt for it. */
function scaleRows(matrix: Tensor, magnitude: Parameter): void {
  const { recorder } = matrix.device;
  const [rows] = matrix.shape as [number, number];
  scope(() => {
    const factor = Tensor.empty(matrix.device, [rows], 'f32');
    commands.reduce(recorder, 'sumSquares', matrix, factor);
    commands.unary(recorder, 'sqrt', factor, factor);
    commands.binary(recorder, 'div', magnitude.value(), factor, factor);
    commands.binary(recorder, 'mul', matrix, factor.view(matrix.shape, [1, 0]), matrix);
  });
}

/** Adds the branches to the weights of the model and takes them off. */
export function mergeAdapter(model: LanguageModel): void {
  for (const layer of model.linears.values()) {
    if (!layer.adapter) continue;
    scope(() => {
      using merged = mergedWeight(layer);
      layer.weight.assign(merged);
    });
  }
  detachLora(model);
}
