import { inModule } from '../autograd/module-path.js';
import type { RandomKeys } from '../autograd/random.js';
import type { FloatDType } from '../device/dtype.js';
import type { UnaryKind } from '../device/opcodes.js';
import { type DoraScale, doraLinear } from '../ops/dora.js';
import { unary } from '../ops/elementwise.js';
import { type LoraBranch, type LoraStack, linear } from '../ops/linear.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Parameter } from './parameter.js';

/** The low-rank branch of a layer, as it is attached. */
export interface LinearAdapter {
  readonly a: Parameter;
  readonly b: Parameter;
  readonly scale: number;
  /** Probability while training. */
  readonly dropout: number;
  /** Of DoRA: the lengths of the weight's rows are trained apart. */
  readonly dora?: DoraScale;
}

export interface LinearCall {
  readonly activation?: UnaryKind;
  readonly dtype?: FloatDType;
  readonly dropout?: RandomKeys;
  /** i32 [M]: which of `served` each row uses; -1 is none. */
  readonly adapterIds?: Tensor;
}

/** A linear layer y = x W^T + b with, perhaps, an adapter beside it. */
export class Linear {
  /** The adapter that is trained, or applied to every row. */
  adapter: LinearAdapter | undefined;
  /** Whether `adapter` takes part. */
  adapterEnabled = true;
  /** Adapters of which each row of a batch uses its own, stacked. */
  served: Pick<LoraStack, 'a' | 'b'> | undefined;
  private seenBy: ((x: Tensor) => void) | undefined;

  constructor(
    /** Hugging Face module name: "model.layers.0.self_attn.q_proj". */
    readonly name: string,
    readonly weight: Parameter,
    readonly bias: Parameter | undefined,
  ) {}

  get outFeatures(): number {
    return this.weight.shape[0]!;
  }

  get inFeatures(): number {
    return this.weight.shape[1]!;
  }

  /** Sees the input [M, K] of every call before the product: what calibration collects statistics from. */
  get observer(): ((x: Tensor) => void) | undefined {
    return this.seenBy;
  }

  set observer(observer: ((x: Tensor) => void) | undefined) {
    this.seenBy = observer;
    this.weight.device.revise();
  }

  apply(x: Tensor, { activation, dtype, dropout, adapterIds }: LinearCall = {}): Tensor {
    if (this.seenBy) {
      x.device.unrepeatable();
      this.seenBy(x);
    }
    const stack = adapterIds && this.served ? { ...this.served, ids: adapterIds } : undefined;
    const lora = stack ? undefined : this.branch(dropout);
    const dora = lora && this.adapter?.dora;
    return inModule(this.name, () => {
      if (!dora) return linear(x, this.weight, { bias: this.bias, lora, stack, activation, dtype });
      const y = doraLinear(x, this.weight, lora, dora, this.bias);
      if (!activation || activation === 'identity') return y;
      const activated = unary(activation, y);
      y.dispose();
      return activated;
    });
  }

  private branch(keys: RandomKeys | undefined): LoraBranch | undefined {
    const { adapter } = this;
    if (!adapter || !this.adapterEnabled) return undefined;
    const { a, b, scale } = adapter;
    const dropout = keys && adapter.dropout > 0 ? { probability: adapter.dropout, key: keys.next() } : undefined;
    return { a, b, scale, dropout };
  }
}
