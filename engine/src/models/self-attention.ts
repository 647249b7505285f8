import type { Linear } from '../nn/linear.js';
import { rope } from '../ops/attention.js';
import { narrow } from '../ops/elementwise.js';
import type { Tensor } from '../tensor/tensor.js';
import type { DecoderConfig } from './config.js';
import type { BlockContext } from './decoder-block.js';
import { attentionLinears } from './decoder-modules.js';
import { Norm } from './norm.js';
import type { ParameterSet } from './parameter-set.js';

/** Attention of a decoder's layer: projections, perhaps norms of heads, the rotation, and the output. */
export class SelfAttention {
  readonly projections: readonly Linear[];
  readonly output: Linear;
  private readonly queryNorm: Norm | undefined;
  private readonly keyNorm: Norm | undefined;

  constructor(
    private readonly config: DecoderConfig,
    private readonly layer: number,
    set: ParameterSet,
  ) {
    const { modules, headDim } = config;
    const name = `${modules.layers}.${layer}`;
    const linears = attentionLinears(config).map((shape) => set.linear(name, shape, modules.transposed));
    this.projections = linears.slice(0, -1);
    this.output = linears.at(-1)!;
    if (config.qkNorm) {
      this.queryNorm = new Norm(config, set, `${name}.${modules.queryNorm}`, headDim);
      this.keyNorm = new Norm(config, set, `${name}.${modules.keyNorm}`, headDim);
    }
  }

  /** x [T, hiddenSize] to what is added to the residual stream. */
  forward(x: Tensor, context: BlockContext): Tensor {
    return this.project(this.mix(x, context), context);
  }

  /** x [T, hiddenSize] to the values that heads have taken together, [T, Hq D]: what the output layer reads. */
  mix(x: Tensor, context: BlockContext): Tensor {
    const { numHeads, headDim } = this.config;
    const [q, k, v] = this.heads(x, context);
    const mixed = context.attend(
      this.layer,
      this.rotate(this.queryNorm?.apply(q) ?? q, context),
      this.rotate(this.keyNorm?.apply(k) ?? k, context),
      v,
    );
    return mixed.reshape(x.shape[0]!, numHeads * headDim);
  }

  /** The output layer. */
  project(mixed: Tensor, { dropout, adapterIds }: BlockContext): Tensor {
    return this.output.apply(mixed, { dropout, adapterIds });
  }

  /** Queries [T, Hq, D], keys and values [T, Hkv, D]; views of one tensor when their matrix is one. */
  private heads(x: Tensor, { dropout, adapterIds }: BlockContext): [q: Tensor, k: Tensor, v: Tensor] {
    const { numHeads, numKvHeads, headDim, modules } = this.config;
    const rows = x.shape[0]!;
    const [first, second, third] = this.projections.map((layer) => layer.apply(x, { dropout, adapterIds }));
    switch (modules.qkv.kind) {
      case 'separate':
        return [
          first!.reshape(rows, numHeads, headDim),
          second!.reshape(rows, numKvHeads, headDim),
          third!.reshape(rows, numKvHeads, headDim),
        ];
      case 'stacked': {
        const all = first!.reshape(rows, numHeads + 2 * numKvHeads, headDim);
        return [
          narrow(all, 1, 0, numHeads),
          narrow(all, 1, numHeads, numKvHeads),
          narrow(all, 1, numHeads + numKvHeads, numKvHeads),
        ];
      }
      case 'interleaved': {
        const all = first!.reshape(rows, numHeads, 3 * headDim);
        const part = (index: number) => narrow(all, 2, index * headDim, headDim);
        return [part(0), part(1), part(2)];
      }
    }
  }

  private rotate(heads: Tensor, { positions, rotation, localRotation }: BlockContext): Tensor {
    const { rope: config, localRope, windows } = this.config;
    if (config.scaling.type === 'none') return heads;
    const own = windows[this.layer]! > 0 && localRope !== undefined ? localRotation : rotation;
    return rope(heads, positions, own.invFreq, { interleaved: config.interleaved, scale: own.scale });
  }
}
