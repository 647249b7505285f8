import { type Device, Parameter, Tensor, type TensorToWrite } from '@largeforge/engine';
import { PhiloxStream } from '../../../engine/src/training/random.js';

/** Values that an operation is tried on, and what to compare afterwards. The same draws come at every ISA level. */
export class Draw {
  readonly leaves = new Map<string, Tensor | Parameter>();
  private readonly constants = new Map<string, Tensor>();
  private readonly given = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  private readonly random: PhiloxStream;

  constructor(
    private readonly device: Device,
    /** Of activations; parameters are f32 masters that are used in this precision. */
    readonly dtype: 'f32' | 'bf16',
    seed: number,
  ) {
    this.random = new PhiloxStream(seed, 1);
  }

  /** An activation whose gradient is compared. */
  tensor(name: string, ...shape: number[]): Tensor {
    return this.leaf(name, shape, this.dtype);
  }

  /** An activation that is f32 in every precision. */
  f32(name: string, ...shape: number[]): Tensor {
    return this.leaf(name, shape, 'f32');
  }

  parameter(name: string, ...shape: number[]): Parameter {
    const parameter = this.frozen(name, ...shape);
    parameter.trainable = true;
    this.leaves.set(name, parameter);
    return parameter;
  }

  /** A parameter without a gradient. */
  frozen(name: string, ...shape: number[]): Parameter {
    const values = Tensor.from(this.device, this.values(name, shape), shape, 'f32', 'persistent');
    return Parameter.of(values, name, { dtype: this.dtype });
  }

  /** A computed value that the peer takes as it is. */
  constant(name: string, tensor: Tensor): void {
    this.constants.set(name, tensor);
  }

  ones(...shape: number[]): Tensor {
    return Tensor.full(this.device, shape, 1, this.dtype);
  }

  ints(values: readonly number[]): Tensor {
    return Tensor.from(this.device, Int32Array.from(values));
  }

  floats(values: readonly number[]): Tensor {
    return Tensor.from(this.device, values);
  }

  /** The gradient that comes from above. */
  seed(name: string, { shape, dtype }: Tensor): Tensor {
    return Tensor.from(this.device, this.values(name, shape), shape, dtype === 'bf16' ? 'bf16' : 'f32');
  }

  /** Everything drawn, for the peer. */
  async toWrite(prefix: string): Promise<TensorToWrite[]> {
    for (const [name, tensor] of this.constants) {
      this.given.set(name, { shape: tensor.shape, values: await tensor.floats() });
    }
    return [...this.given].map(([name, { shape, values }]) => ({
      name: `${prefix}/${name}`,
      dtype: 'f32',
      shape,
      bytes: () => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    }));
  }

  private leaf(name: string, shape: number[], dtype: 'f32' | 'bf16'): Tensor {
    const tensor = Tensor.from(this.device, this.values(name, shape), shape, dtype);
    tensor.requiresGrad = true;
    this.leaves.set(name, tensor);
    return tensor;
  }

  /** Values in [-1, 1) that bf16 holds exactly, so that both sides start from the same numbers. */
  private values(name: string, shape: readonly number[]): Float32Array {
    const length = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length }, () => (this.random.uint32() >>> 24) / 128 - 1);
    this.given.set(name, { shape, values });
    return values;
  }
}
