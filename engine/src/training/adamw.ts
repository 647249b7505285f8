import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import type { Parameter } from '../nn/parameter.js';
import { unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import type { OptimizerOptions } from './options.js';

interface Moments {
  readonly first: Tensor;
  readonly second: Tensor;
}

/** As transformers: norms and biases do not decay, whatever their shape. */
const undecayed = /bias|layernorm|rmsnorm|(?:^|[._])norm(?:$|\.)/i;

export function decays(name: string, shape: readonly number[]): boolean {
  return shape.length > 1 && !undecayed.test(name);
}

/**
 * AdamW over the f32 masters of a model's trainable parameters, with the gradients clipped by their global norm. Nothing
 * is read back: the norm stays on the device until the loop asks for it.
 */
export class AdamW implements Disposable {
  private readonly moments = new Map<string, Moments>();
  private readonly sumSquares: Tensor;

  /** @param norm f32 [2] that receives the gradients' norm and the factor that they were scaled with */
  constructor(
    private readonly device: Device,
    readonly parameters: ReadonlyMap<string, Parameter>,
    private readonly options: OptimizerOptions,
    private readonly norm: Tensor,
  ) {
    this.sumSquares = unscoped(() => Tensor.zeros(device, [1], 'f32', 'persistent'));
    for (const [name, { shape }] of parameters) {
      const zeros = () => unscoped(() => Tensor.zeros(device, shape, 'f32', 'persistent'));
      this.moments.set(name, { first: zeros(), second: zeros() });
    }
  }

  /**
   * Records one update.
   * @param step number of the update, from 1, for the bias correction
   */
  step(step: number, learningRate: number): void {
    const { recorder } = this.device;
    const { beta1, beta2, epsilon, weightDecay, maxGradNorm } = this.options;
    const updated = [...this.parameters].filter(([, parameter]) => parameter.grad !== undefined);
    updated.forEach(([, parameter], i) => {
      commands.reduce(recorder, 'sumSquares', parameter.grad as Tensor, this.sumSquares, i > 0);
    });
    if (updated.length === 0) commands.fill(recorder, 0, this.sumSquares);
    commands.clipScale(recorder, { maxNorm: maxGradNorm }, { sumSquares: this.sumSquares, out: this.norm });
    for (const [name, parameter] of updated) {
      const { first, second } = this.moments.get(name) as Moments;
      commands.adamw(
        recorder,
        {
          learningRate,
          beta1,
          beta2,
          eps: epsilon,
          weightDecay: decays(name, parameter.shape) ? weightDecay : 0,
          biasCorrection1: 1 - beta1 ** step,
          biasCorrection2: 1 - beta2 ** step,
        },
        {
          param: parameter.master as Tensor,
          grad: parameter.grad as Tensor,
          m: first,
          v: second,
          scale: this.norm,
          copy: parameter.computeCopy,
        },
      );
    }
  }

  /** Everything that the next update depends on but for the gradients: masters and moments, by the names of a checkpoint. */
  state(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const [name, parameter] of this.parameters) {
      const { first, second } = this.moments.get(name) as Moments;
      state.set(`${name}.master`, parameter.master as Tensor);
      state.set(`${name}.exp_avg`, first);
      state.set(`${name}.exp_avg_sq`, second);
    }
    return state;
  }

  dispose(): void {
    this.sumSquares.dispose();
    for (const { first, second } of this.moments.values()) {
      first.dispose();
      second.dispose();
    }
    this.moments.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
