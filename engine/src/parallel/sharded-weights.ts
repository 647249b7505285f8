import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import type { DecoderConfig } from '../models/config.js';
import type { Shard } from '../models/shard.js';
import type { Initial, WeightProvider } from '../models/weights.js';
import { Parameter, type WeightSource } from '../nn/parameter.js';
import { unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { keepsBlocks, type Slice, sliceOf, slicesOf, wholeShape } from './slices.js';

/** Gives a rank its part of a model's parameters, from a provider of all. */
export class ShardedWeights implements WeightProvider {
  private readonly slices: ReadonlyMap<string, Slice>;
  private readonly zero: ReadonlySet<string>;

  /** @param config of the model, whole */
  constructor(
    private readonly device: Device,
    private readonly dtype: FloatDType,
    private readonly whole: WeightProvider,
    config: DecoderConfig,
    readonly shard: Shard,
  ) {
    const { slices, zero } = slicesOf(config, shard.rank, shard.ways);
    this.slices = slices;
    this.zero = zero;
  }

  parameter(name: string, shape: readonly number[], initial: Initial, transposed = false): Parameter {
    const slice = this.slices.get(name);
    if (slice)
      return this.part(this.whole.parameter(name, wholeShape(shape, slice), initial, transposed), shape, slice);
    const parameter = this.whole.parameter(name, shape, initial, transposed);
    if (!this.zero.has(name)) return parameter;
    parameter.dispose();
    const zeros = unscoped(() => Tensor.zeros(this.device, shape, 'f32', 'persistent'));
    return new Parameter(this.device, name, shape, this.dtype, zeros);
  }

  stack(name: string, shape: readonly [number, number, number], parts: readonly (readonly string[])[]): Parameter {
    const slice = this.slices.get(name)!;
    const whole = this.whole.stack(name, wholeShape(shape, slice) as [number, number, number], parts);
    return this.part(whole, shape, slice);
  }

  /** A parameter whose values are a slice of another's, which is opened each time and never kept. */
  private part(whole: Parameter, shape: readonly number[], slice: Slice): Parameter {
    const source: WeightSource = {
      direct: false,
      open: () => {
        using stored = whole.stored();
        return sliceOf(stored, slice);
      },
      blocks: () => sliced(whole.storedBlocks(), slice),
    };
    const parameter = new Parameter(this.device, whole.name, shape, whole.dtype, source);
    parameter.keepsBlocks = whole.keepsBlocks;
    const { packedFrom } = whole;
    if (packedFrom && sliced(packedFrom.blocks?.(), slice)) {
      parameter.packedFrom = {
        direct: false,
        open: () => {
          using stored = packedFrom.open();
          return sliceOf(stored, slice);
        },
        blocks: () => sliced(packedFrom.blocks?.(), slice),
      };
    }
    return parameter;
  }
}

function sliced(blocks: ReturnType<Parameter['storedBlocks']>, slice: Slice) {
  return blocks && keepsBlocks(slice, blocks) ? blocks : undefined;
}
