import * as commands from '../../device/commands/index.js';
import type { Linear } from '../../nn/linear.js';
import { scope } from '../../tensor/scope.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LanguageModel } from '../model.js';
import { detachLora } from './attach.js';

/** The weight of a layer with its branch added, W + scale * B A, in f32: what is saved is rounded once. */
export function mergedWeight({ weight, adapter }: Linear): Tensor {
  const merged = weight.toFloat32();
  if (!adapter) return merged;
  const { a, b, scale } = adapter;
  using left = b.toFloat32();
  using right = a.toFloat32();
  commands.matmul(weight.device.recorder, { alpha: scale, beta: 1, math: 'f32' }, { a: left, b: right, c: merged });
  return merged;
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
