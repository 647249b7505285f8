import * as commands from '../../device/commands/index.js';
import type { Parameter } from '../../nn/parameter.js';
import { scope, unscoped } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';

/**
 * An exponential moving average of the trained parameters: after the first update it is the parameters, after each
 * further one decay * average + (1 - decay) * parameters, as PyTorch's AveragedModel with `get_ema_multi_avg_fn`.
 */
export class WeightAverage implements Disposable {
  private readonly averages = new Map<Parameter, { readonly name: string; readonly average: Tensor }>();

  constructor(
    parameters: ReadonlyMap<string, Parameter>,
    private readonly decay: number,
  ) {
    for (const [name, parameter] of parameters) {
      const average = unscoped(() => Tensor.zeros(parameter.device, parameter.shape, 'f32', 'persistent'));
      this.averages.set(parameter, { name, average });
      commands.copy(parameter.device.recorder, parameter.master as Tensor, average);
    }
  }

  /** Records that update `step` (1 is the first) was made. */
  follow(step: number): void {
    for (const [{ device, master }, { average }] of this.averages) {
      if (step === 1) commands.copy(device.recorder, master as Tensor, average);
      else commands.binary(device.recorder, 'add', average, master as Tensor, average, this.decay, 1 - this.decay);
    }
  }

  /** Puts the average where the parameters are and the other way round; a second time undoes it. */
  swap(): void {
    for (const [parameter, { average }] of this.averages) {
      const { device } = parameter;
      const master = parameter.master as Tensor;
      scope(() => {
        const kept = Tensor.empty(device, master.shape, 'f32');
        commands.copy(device.recorder, master, kept);
        commands.copy(device.recorder, average, master);
        commands.copy(device.recorder, kept, average);
      });
      parameter.refresh();
    }
  }

  /** By the names of a checkpoint. */
  state(): Map<string, Tensor> {
    return new Map([...this.averages.values()].map(({ name, average }) => [`${name}.average`, average]));
  }

  [Symbol.dispose](): void {
    for (const { average } of this.averages.values()) average.dispose();
    this.averages.clear();
  }
}
