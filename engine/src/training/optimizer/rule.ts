import type { Parameter } from '../../nn/parameter.js';
import { unscoped } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';

/** One update of one parameter. */
export interface Update {
  /** Number of the update, from 1, for the bias correction. */
  readonly step: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** f32 [2]: the gradients' norm, and what gradients are multiplied by. */
  readonly scale: Tensor;
}

/** How an optimiser moves one parameter, with what it remembers of that parameter. */
export interface UpdateRule extends Disposable {
  /** What the next update depends on beside the parameter, by the names of a checkpoint. */
  readonly state: ReadonlyMap<string, Tensor>;
  /** Records an update of the f32 master and of its copy in compute precision. */
  record(update: Update): void;
}

/** The tensors that a rule keeps, zero at first. */
export class RuleState implements Disposable {
  readonly tensors = new Map<string, Tensor>();

  constructor(readonly parameter: Parameter) {}

  /** A tensor of the state; f32 in the parameter's shape unless told otherwise. */
  add(name: string, shape: readonly number[] = this.parameter.shape, dtype: 'f32' | 'u8' = 'f32'): Tensor {
    const tensor = unscoped(() => Tensor.zeros(this.parameter.device, shape, dtype, 'persistent'));
    this.tensors.set(name, tensor);
    return tensor;
  }

  [Symbol.dispose](): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
    this.tensors.clear();
  }
}

/** What every rule's command takes: master, gradient, scale and copy of a parameter. */
export function operandsOf(parameter: Parameter, scale: Tensor) {
  return {
    param: parameter.master as Tensor,
    grad: parameter.grad as Tensor,
    scale,
    copy: parameter.computeCopy,
  };
}
