import type { Linear } from '../nn/linear.js';
import type { Parameter } from '../nn/parameter.js';
import { add, unary } from '../ops/elementwise.js';
import { gatherRows } from '../ops/embedding.js';
import { groupedLinear, route, scaleRows, sumRows } from '../ops/experts.js';
import { linear } from '../ops/linear.js';
import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import type { DecoderConfig, ExpertsConfig } from './config.js';
import type { BlockContext } from './decoder-block.js';
import { sharedExpertLinears } from './decoder-modules.js';
import { FeedForward, stackedGlu } from './feed-forward.js';
import type { ParameterSet } from './parameter-set.js';

/**
 * Feed-forward of a layer with experts: each token goes through those that the router's softmax puts first, weighted by
 * it, and perhaps through one that all tokens share, weighted by a gate of its own.
 */
export class SparseFeedForward {
  private readonly router: Parameter;
  private readonly gateUp: Parameter;
  private readonly down: Parameter;
  private readonly shared: FeedForward | undefined;
  private readonly sharedGate: Linear | undefined;

  constructor(
    private readonly config: DecoderConfig,
    private readonly experts: ExpertsConfig,
    layerName: string,
    set: ParameterSet,
  ) {
    const { hiddenSize } = config;
    const { count, intermediateSize, modules } = experts;
    const stack = `${layerName}.${modules.experts}`;
    const parts = (names: readonly string[]) =>
      Array.from({ length: count }, (_, e) => names.map((name) => `${stack}.${e}.${name}.weight`));
    const [gate, up, down] = modules.names;
    this.router = set.matrix(`${layerName}.${modules.router}.weight`, count, hiddenSize);
    this.gateUp = set.stack(`${stack}.gate_up_proj`, [count, 2 * intermediateSize, hiddenSize], parts([gate, up]));
    this.down = set.stack(`${stack}.down_proj`, [count, hiddenSize, intermediateSize], parts([down]));
    const shared = sharedExpertLinears(config);
    if (shared.length > 0) {
      this.shared = new FeedForward(config, layerName, set, shared.slice(0, -1));
      this.sharedGate = set.linear(layerName, shared.at(-1)!);
    }
  }

  /** x [T, hiddenSize] to what is added to the residual stream. */
  forward(x: Tensor, context: BlockContext): Tensor {
    const routed = scope(() => this.routed(x));
    if (!this.shared || !this.sharedGate) return routed;
    const { dropout, adapterIds } = context;
    const share = unary('sigmoid', this.sharedGate.apply(x, { dropout, adapterIds }));
    return add(routed, scaleRows(this.shared.forward(x, context), share));
  }

  private routed(x: Tensor): Tensor {
    const { perToken: topK, normalize } = this.experts;
    const logits = linear(x, this.router, { dtype: 'f32' });
    const { rows, offsets, weights } = route(logits, { topK, normalize });
    const wide = groupedLinear(gatherRows(x, rows), this.gateUp, offsets);
    const narrow = groupedLinear(stackedGlu(this.config.activation, wide), this.down, offsets);
    return sumRows(scaleRows(narrow, weights), rows, x.shape[0]!);
  }
}
