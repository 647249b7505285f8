import type { UnaryKind } from '../device/opcodes.js';
import type { Linear } from '../nn/linear.js';
import { narrow } from '../ops/elementwise.js';
import { glu } from '../ops/feedforward.js';
import type { Tensor } from '../tensor/tensor.js';
import type { DecoderConfig } from './config.js';
import type { BlockContext } from './decoder-block.js';
import { feedForwardLinears, type LinearShape } from './decoder-modules.js';
import type { ParameterSet } from './parameter-set.js';

/** Feed-forward of a decoder's layer: down(activation(gate x) * up x), or down(activation(up x)). */
export class FeedForward {
  readonly inputs: readonly Linear[];
  readonly down: Linear;

  constructor(
    private readonly config: DecoderConfig,
    layerName: string,
    set: ParameterSet,
    shapes: readonly LinearShape[] = feedForwardLinears(config),
  ) {
    const { transposed } = config.modules;
    const linears = shapes.map((shape) => set.linear(layerName, shape, transposed));
    this.inputs = linears.slice(0, -1);
    this.down = linears.at(-1)!;
  }

  /** x [T, hiddenSize] to what is added to the residual stream. */
  forward(x: Tensor, context: BlockContext): Tensor {
    return this.project(this.widen(x, context), context);
  }

  /** x [T, hiddenSize] to the activated channels [T, I]: what the down projection reads. */
  widen(x: Tensor, { dropout, adapterIds }: BlockContext): Tensor {
    const { activation, modules } = this.config;
    const call = { dropout, adapterIds };
    if (modules.feedForward.kind === 'plain') return this.inputs[0]!.apply(x, { ...call, activation });
    const [first, second] = this.inputs.map((layer) => layer.apply(x, call));
    return second ? glu(activation, first!, second) : stackedGlu(activation, first!);
  }

  /** The down projection. */
  project(channels: Tensor, { dropout, adapterIds }: BlockContext): Tensor {
    return this.down.apply(channels, { dropout, adapterIds });
  }
}

/** activation(gate) * up of gate and up side by side, [T, 2 I] to [T, I]. */
export function stackedGlu(activation: UnaryKind, both: Tensor): Tensor {
  const size = both.shape[1]! / 2;
  return glu(activation, narrow(both, 1, 0, size), narrow(both, 1, size, size));
}
