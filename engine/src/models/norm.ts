import { inModule } from '../autograd/module-path.js';
import type { FloatDType } from '../device/dtype.js';
import type { Parameter } from '../nn/parameter.js';
import { layerNorm, rmsNorm } from '../ops/norm.js';
import type { Tensor } from '../tensor/tensor.js';
import type { DecoderConfig } from './config.js';
import type { ParameterSet } from './parameter-set.js';

/** The residual stream: f32, with what the last sublayer adds to it still apart, so that the next norm can add it. */
export interface Stream {
  readonly residual: Tensor;
  readonly delta: Tensor | undefined;
}

/** A norm of a decoder: RMSNorm, its weight perhaps counted from 1, or LayerNorm with a bias. */
export class Norm {
  private readonly weight: Parameter;
  private readonly bias: Parameter | undefined;

  constructor(
    private readonly config: Pick<DecoderConfig, 'norm'>,
    set: ParameterSet,
    private readonly name: string,
    size: number,
  ) {
    const { kind, offset } = config.norm;
    this.weight = set.add(`${name}.weight`, [size], offset === 1 ? 'zeros' : 'ones');
    this.bias = kind === 'layer' ? set.add(`${name}.bias`, [size], 'zeros') : undefined;
  }

  /** Each row of the last dimension, normalised, in the type of x. */
  apply(x: Tensor): Tensor {
    return this.run(x, undefined, undefined).y;
  }

  /** Adds what is still apart to the residual stream and normalises the sum. */
  enter({ residual, delta }: Stream, dtype: FloatDType): { y: Tensor; sum: Tensor } {
    return delta ? this.run(delta, residual, dtype) : this.run(residual, undefined, dtype);
  }

  private run(x: Tensor, residual: Tensor | undefined, dtype: FloatDType | undefined): { y: Tensor; sum: Tensor } {
    const { kind, eps, offset } = this.config.norm;
    return inModule(this.name, () =>
      kind === 'layer'
        ? layerNorm(x, this.weight, this.bias, { eps, residual, dtype })
        : rmsNorm(x, this.weight, { eps, residual, dtype, weightOffset: offset }),
    );
  }
}
