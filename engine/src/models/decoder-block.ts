import { inModule } from '../autograd/module-path.js';
import type { RandomKeys } from '../autograd/random.js';
import type { FloatDType } from '../device/dtype.js';
import type { Linear } from '../nn/linear.js';
import { add } from '../ops/elementwise.js';
import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import type { DecoderConfig } from './config.js';
import { FeedForward } from './feed-forward.js';
import { Norm, type Stream } from './norm.js';
import type { ParameterSet } from './parameter-set.js';
import { SelfAttention } from './self-attention.js';
import type { Shard } from './shard.js';
import { SparseFeedForward } from './sparse-feed-forward.js';

/** Inverse frequencies f32 [dimensions / 2], or [T, dimensions / 2] where rows have their own, and what cos and sin are multiplied by. */
export interface Rotation {
  readonly invFreq: Tensor;
  readonly scale: number;
}

/** What a block needs to know of the batch. */
export interface BlockContext {
  readonly dtype: FloatDType;
  readonly positions: Tensor;
  readonly rotation: Rotation;
  /** Of layers with a window. */
  readonly localRotation: Rotation;
  readonly dropout?: RandomKeys;
  readonly adapterIds?: Tensor;
  /** Of a model that is split: what sublayers give is this rank's part of a sum. */
  readonly shard?: Shard;
  /** q [T, Hq, D], k and v [T, Hkv, D] to [T, Hq, D]: over the batch itself, or over a cache. */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor): Tensor;
}

/** Where a batch stands inside of a layer. */
export interface PartialLayer {
  /** The residual stream f32 [T, hiddenSize]. */
  readonly residual: Tensor;
  /** [T, K] what the next linear layers read; absent where the layer ends. */
  readonly input?: Tensor;
  /** What attention has still to add to the stream, where both sublayers read the same. */
  readonly attended?: Tensor;
}

/** A part of a layer that ends where linear layers read one input. */
export interface BlockPart {
  /** The linear layers that read the input which this part leaves; none where the layer ends. */
  readonly feeds: readonly Linear[];
  /** What goes in stays the caller's; some of it may be in what comes out. */
  run(state: PartialLayer, context: BlockContext): PartialLayer;
}

/** One layer of a decoder: attention and feed-forward, each after a norm and, in some families, followed by another. */
export class DecoderBlock {
  private readonly name: string;
  private readonly attentionNorm: Norm;
  private readonly attention: SelfAttention;
  private readonly attentionOutputNorm: Norm | undefined;
  private readonly feedForwardNorm: Norm;
  private readonly feedForward: FeedForward | SparseFeedForward;
  private readonly feedForwardOutputNorm: Norm | undefined;

  constructor(
    private readonly config: DecoderConfig,
    layer: number,
    set: ParameterSet,
  ) {
    const { modules, hiddenSize } = config;
    const name = `${modules.layers}.${layer}`;
    this.name = name;
    const norm = (own: string) => new Norm(config, set, `${name}.${own}`, hiddenSize);
    const perhaps = (own: string | undefined) => (own === undefined ? undefined : norm(own));
    this.attentionNorm = norm(modules.attentionNorm);
    this.attention = new SelfAttention(config, layer, set);
    this.attentionOutputNorm = perhaps(modules.attentionOutputNorm);
    this.feedForwardNorm = norm(modules.feedForwardNorm);
    this.feedForward = config.experts?.layers[layer]
      ? new SparseFeedForward(config, config.experts, name, set)
      : new FeedForward(config, name, set);
    this.feedForwardOutputNorm = perhaps(modules.feedForwardOutputNorm);
  }

  /** The stream after the layer. That which came in stays the caller's; its residual may be that of the result. */
  forward(stream: Stream, context: BlockContext): Stream {
    return inModule(this.name, () =>
      this.config.parallelResidual ? this.parallel(stream, context) : this.sequential(stream, context),
    );
  }

  /**
   * The layer in parts, each from where linear layers read one input to where the next do: run one after another they are
   * `forward`, and weights may change between them.
   */
  parts(): BlockPart[] {
    const { attention, feedForward } = this;
    if (feedForward instanceof SparseFeedForward) throw new TypeError(`${this.name} has experts, and no parts`);
    const ordered: readonly BlockPart[] = [
      {
        feeds: attention.projections,
        run: ({ residual }, { dtype }) => {
          const { y } = this.attentionNorm.enter({ residual, delta: undefined }, dtype);
          return { residual, input: y };
        },
      },
      {
        feeds: [attention.output],
        run: ({ residual, input }, context) => ({ residual, input: attention.mix(input!, context) }),
      },
      {
        feeds: feedForward.inputs,
        run: ({ residual, input }, context) => {
          const attended = normed(attention.project(input!, context), this.attentionOutputNorm);
          // Both sublayers of a parallel block read the same stream.
          if (this.config.parallelResidual) {
            const { y } = this.feedForwardNorm.enter({ residual, delta: undefined }, context.dtype);
            return { residual, input: y, attended };
          }
          const { y, sum } = this.feedForwardNorm.enter({ residual, delta: attended }, context.dtype);
          return { residual: sum, input: y };
        },
      },
      {
        feeds: [feedForward.down],
        run: ({ input, ...rest }, context) => ({ ...rest, input: feedForward.widen(input!, context) }),
      },
      {
        feeds: [],
        run: ({ residual, input, attended }, context) => {
          const own = normed(feedForward.project(input!, context), this.feedForwardOutputNorm);
          return { residual: add(residual, attended ? add(attended, own) : own) };
        },
      },
    ];
    return ordered.map(({ feeds, run }) => ({
      feeds,
      run: (state, context) => inModule(this.name, () => scope(() => run(state, context))),
    }));
  }

  private sequential(stream: Stream, context: BlockContext): Stream {
    const middle = scope(() => {
      const { y, sum } = this.attentionNorm.enter(stream, context.dtype);
      return {
        residual: sum,
        delta: normed(whole(this.attention.forward(y, context), context), this.attentionOutputNorm),
      };
    });
    const out = scope(() => {
      const { y, sum } = this.feedForwardNorm.enter(middle, context.dtype);
      return {
        residual: sum,
        delta: normed(whole(this.feedForward.forward(y, context), context), this.feedForwardOutputNorm),
      };
    });
    middle.delta.dispose();
    // Without a delta the stream passes through unchanged, and is the caller's.
    if (middle.residual !== stream.residual) middle.residual.dispose();
    return out;
  }

  /** Both sublayers read the same stream, each through its own norm (Wang & Komatsuzaki 2021). */
  private parallel(stream: Stream, context: BlockContext): Stream {
    return scope(() => {
      const { y, sum } = this.attentionNorm.enter(stream, context.dtype);
      const attended = scope(() => this.attention.forward(y, context));
      y.dispose();
      const { y: again } = this.feedForwardNorm.enter({ residual: sum, delta: undefined }, context.dtype);
      return { residual: sum, delta: whole(add(attended, this.feedForward.forward(again, context)), context) };
    });
  }
}

/** The sum of all ranks' parts. */
function whole(part: Tensor, { shard }: BlockContext): Tensor {
  shard?.sum(part);
  return part;
}

function normed(x: Tensor, norm: Norm | undefined): Tensor {
  return norm ? norm.apply(x) : x;
}
