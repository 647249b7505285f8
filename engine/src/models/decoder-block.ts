import type { RandomKeys } from '../autograd/random.js';
import type { FloatDType } from '../device/dtype.js';
import type { Linear } from '../nn/linear.js';
import type { Parameter } from '../nn/parameter.js';
import { rope } from '../ops/attention.js';
import { glu } from '../ops/feedforward.js';
import { rmsNorm } from '../ops/norm.js';
import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import type { DecoderConfig } from './config.js';
import type { ParameterSet } from './parameter-set.js';

/** What a block needs to know of the batch. */
export interface BlockContext {
  readonly dtype: FloatDType;
  readonly positions: Tensor;
  readonly invFreq: Tensor;
  readonly ropeScale: number;
  readonly dropout?: RandomKeys;
  readonly adapterIds?: Tensor;
  /** q [T, Hq, D], k and v [T, Hkv, D] to [T, Hq, D]: over the batch itself, or over a cache. */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor): Tensor;
}

/** The residual stream: f32, with what the last sublayer adds to it still apart, so that the next norm can add it. */
export interface Stream {
  readonly residual: Tensor;
  readonly delta: Tensor | undefined;
}

/** One layer of a decoder: attention and gated feed-forward, each after an RMSNorm. */
export class DecoderBlock {
  private readonly q: Linear;
  private readonly k: Linear;
  private readonly v: Linear;
  private readonly o: Linear;
  private readonly gate: Linear;
  private readonly up: Linear;
  private readonly down: Linear;
  private readonly inputNorm: Parameter;
  private readonly postNorm: Parameter;
  private readonly qNorm: Parameter | undefined;
  private readonly kNorm: Parameter | undefined;

  constructor(
    private readonly config: DecoderConfig,
    private readonly layer: number,
    set: ParameterSet,
  ) {
    const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim, attentionBias, mlpBias } = config;
    const name = `model.layers.${layer}`;
    const attention = `${name}.self_attn`;
    this.inputNorm = set.add(`${name}.input_layernorm.weight`, [hiddenSize], 'ones');
    this.q = set.linear(`${attention}.q_proj`, numHeads * headDim, hiddenSize, attentionBias.qkv);
    this.k = set.linear(`${attention}.k_proj`, numKvHeads * headDim, hiddenSize, attentionBias.qkv);
    this.v = set.linear(`${attention}.v_proj`, numKvHeads * headDim, hiddenSize, attentionBias.qkv);
    this.o = set.linear(`${attention}.o_proj`, hiddenSize, numHeads * headDim, attentionBias.output);
    if (config.qkNorm) {
      this.qNorm = set.add(`${attention}.q_norm.weight`, [headDim], 'ones');
      this.kNorm = set.add(`${attention}.k_norm.weight`, [headDim], 'ones');
    }
    this.postNorm = set.add(`${name}.post_attention_layernorm.weight`, [hiddenSize], 'ones');
    this.gate = set.linear(`${name}.mlp.gate_proj`, intermediateSize, hiddenSize, mlpBias);
    this.up = set.linear(`${name}.mlp.up_proj`, intermediateSize, hiddenSize, mlpBias);
    this.down = set.linear(`${name}.mlp.down_proj`, hiddenSize, intermediateSize, mlpBias);
  }

  forward(stream: Stream, context: BlockContext): Stream {
    const middle = this.attention(stream, context);
    const out = this.feedForward(middle, context);
    middle.delta?.dispose();
    // Without a delta the stream passes through unchanged, and is the caller's.
    if (middle.residual !== stream.residual) middle.residual.dispose();
    return out;
  }

  private attention(stream: Stream, context: BlockContext): Stream {
    return scope(() => {
      const { numHeads, numKvHeads, headDim } = this.config;
      const { dropout, adapterIds } = context;
      const call = { dropout, adapterIds };
      const { y, sum } = normalise(stream, this.inputNorm, this.config.normEps, context.dtype);
      const rows = y.shape[0]!;
      const q = this.rotate(this.q.apply(y, call).reshape(rows, numHeads, headDim), this.qNorm, context);
      const k = this.rotate(this.k.apply(y, call).reshape(rows, numKvHeads, headDim), this.kNorm, context);
      const v = this.v.apply(y, call).reshape(rows, numKvHeads, headDim);
      const mixed = context.attend(this.layer, q, k, v);
      const delta = this.o.apply(mixed.reshape(rows, numHeads * headDim), call);
      return { residual: sum, delta };
    });
  }

  private feedForward(stream: Stream, context: BlockContext): Stream {
    return scope(() => {
      const { dropout, adapterIds } = context;
      const call = { dropout, adapterIds };
      const { y, sum } = normalise(stream, this.postNorm, this.config.normEps, context.dtype);
      const hidden = glu(this.config.activation, this.gate.apply(y, call), this.up.apply(y, call));
      return { residual: sum, delta: this.down.apply(hidden, call) };
    });
  }

  private rotate(heads: Tensor, norm: Parameter | undefined, context: BlockContext): Tensor {
    const normed = norm ? rmsNorm(heads, norm, { eps: this.config.normEps }).y : heads;
    const { interleaved } = this.config.rope;
    return rope(normed, context.positions, context.invFreq, { interleaved, scale: context.ropeScale });
  }
}

/** Adds what is still apart to the residual stream and normalises it. */
export function normalise(
  { residual, delta }: Stream,
  weight: Parameter,
  eps: number,
  dtype: FloatDType,
): { y: Tensor; sum: Tensor } {
  return delta ? rmsNorm(delta, weight, { eps, residual, dtype }) : rmsNorm(residual, weight, { eps, dtype });
}
