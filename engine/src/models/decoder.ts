import { checkpoint } from '../autograd/checkpoint.js';
import type { RandomKeys } from '../autograd/random.js';
import { withoutTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import type { Parameter } from '../nn/parameter.js';
import { attention } from '../ops/attention.js';
import { add } from '../ops/elementwise.js';
import { embedding, gatherRows } from '../ops/embedding.js';
import { linear } from '../ops/linear.js';
import { type CrossEntropyOptions, type CrossEntropyResult, crossEntropy } from '../ops/loss.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { BaseModel } from './base-model.js';
import { largest, longestRun, type PackedBatch, type PagedBatch, upload } from './batch.js';
import type { DecoderConfig } from './config.js';
import { type BlockContext, DecoderBlock, normalise, type Stream } from './decoder-block.js';
import type { KvCache } from './kv-cache.js';
import type { CausalLanguageModel, ForwardOptions } from './model.js';
import { addNoise } from './noise.js';
import { ParameterSet } from './parameter-set.js';
import { Rotary } from './rotary.js';
import type { WeightProvider } from './weights.js';

/** Positions [T], starts of the sequences [B + 1], and inverse frequencies: what blocks read besides the stream. */
type BatchIndices = [positions: Tensor, cuSeqlens: Tensor, invFreq: Tensor];

/** A decoder-only transformer of the Llama kind: Llama, Mistral, Qwen and what is built like them. */
export class DecoderModel extends BaseModel implements CausalLanguageModel {
  readonly kind = 'causal';
  private readonly embedTokens: Parameter;
  private readonly blocks: readonly DecoderBlock[];
  private readonly norm: Parameter;
  private readonly head: Parameter;
  private readonly rotary: Rotary;

  constructor(
    device: Device,
    dtype: FloatDType,
    readonly config: DecoderConfig,
    weights: WeightProvider,
  ) {
    const set = new ParameterSet(weights);
    const { vocabSize, hiddenSize } = config;
    const embedTokens = set.add('model.embed_tokens.weight', [vocabSize, hiddenSize], 'normal');
    const blocks = Array.from({ length: config.numLayers }, (_, layer) => new DecoderBlock(config, layer, set));
    const norm = set.add('model.norm.weight', [hiddenSize], 'ones');
    const head = config.tieWordEmbeddings ? embedTokens : set.add('lm_head.weight', [vocabSize, hiddenSize], 'normal');
    super(device, dtype, set);
    this.embedTokens = embedTokens;
    this.blocks = blocks;
    this.norm = norm;
    this.head = head;
    this.rotary = new Rotary(device, config.rope);
  }

  hidden(batch: PackedBatch, options: ForwardOptions = {}): Tensor {
    const { device, dtype, config } = this;
    return scope(() => {
      const indices: BatchIndices = [
        upload(device, batch.positions),
        upload(device, batch.cuSeqlens),
        this.rotary.frequencies(largest(batch.positions) + 1),
      ];
      const contextOf = ([positions, cuSeqlens, invFreq]: BatchIndices): BlockContext => ({
        dtype,
        positions,
        invFreq,
        ropeScale: this.rotary.scale,
        dropout: options.dropout,
        attend: (layer, q, k, v) =>
          attention(q, k, v, { cuSeqlens, maxSeqlen: batch.maxSeqlen, causal: true, window: config.windows[layer] }),
      });
      const context = contextOf(indices);
      const embedded = this.embed(batch.tokens);
      if (options.noise) addNoise(embedded, batch.cuSeqlens, options.noise);
      const recompute = { random: options.dropout, tracked: this.trainableParameters().size > 0 };
      let stream: Stream = { residual: embedded, delta: undefined };
      for (const block of this.blocks) {
        const before = stream;
        stream = options.checkpointing
          ? this.checkpointed(block, before, indices, contextOf, recompute)
          : block.forward(before, context);
        before.delta?.dispose();
        before.residual.dispose();
      }
      return normalise(stream, this.norm, config.normEps, dtype).y;
    });
  }

  crossEntropy(hidden: Tensor, labels: Tensor | Int32Array, options: CrossEntropyOptions = {}): CrossEntropyResult {
    return scope(() => {
      const ids = labels instanceof Int32Array ? upload(this.device, labels) : labels;
      return crossEntropy(hidden, this.head, ids, options);
    });
  }

  logits(hiddenRows: Tensor): Tensor {
    return linear(hiddenRows, this.head, { dtype: 'f32' });
  }

  decode(batch: PagedBatch, cache: KvCache): Tensor {
    const { device, dtype, config } = this;
    const { maxContext = largest(batch.context), maxNewTokens = longestRun(batch.cuSeqlens) } = batch;
    return withoutTape(() =>
      scope(() => {
        const sequences = batch.context.length;
        const slots = upload(device, batch.slots);
        const blockTable = upload(device, batch.blockTable, [sequences, batch.maxBlocks]);
        const cuQ = upload(device, batch.cuSeqlens);
        const lengths = upload(device, batch.context);
        const outputRows = upload(device, batch.outputRows);
        const context: BlockContext = {
          dtype,
          positions: upload(device, batch.positions),
          invFreq: this.rotary.frequencies(maxContext),
          ropeScale: this.rotary.scale,
          adapterIds: batch.adapters && upload(device, batch.adapters),
          attend: (layer, q, k, v) => {
            const kCache = cache.keys[layer]!;
            const vCache = cache.values[layer]!;
            commands.kvWrite(device.recorder, { k, v, slots, kCache, vCache });
            const out = Tensor.empty(device, q.shape, q.dtype);
            commands.attentionPaged(
              device.recorder,
              {
                scale: 1 / Math.sqrt(config.headDim),
                window: config.windows[layer],
                maxQ: maxNewTokens,
                maxContext,
                invariant: batch.invariant,
              },
              { q, kCache, vCache, blockTable, cuQ, context: lengths, out },
            );
            return out;
          },
        };
        let stream: Stream = { residual: this.embed(batch.tokens), delta: undefined };
        for (const block of this.blocks) {
          const before = stream;
          stream = block.forward(before, context);
          before.delta?.dispose();
          before.residual.dispose();
        }
        // Only the rows that are asked for are normalised.
        const rows: Stream = {
          residual: gatherRows(stream.residual, outputRows),
          delta: gatherRows(stream.delta!, outputRows),
        };
        return normalise(rows, this.norm, config.normEps, dtype).y;
      }),
    );
  }

  override prepare(options: { backward?: boolean } = {}): void {
    super.prepare(options);
    this.head.forward();
    if (options.backward) this.head.backward();
  }

  override dispose(): void {
    this.rotary.dispose();
    super.dispose();
  }

  private embed(tokens: Int32Array): Tensor {
    return embedding([{ ids: upload(this.device, tokens), table: this.embedTokens }]);
  }

  /** Runs a block that keeps its input alone: the backward pass computes the rest again. */
  private checkpointed(
    block: DecoderBlock,
    { residual, delta }: Stream,
    indices: BatchIndices,
    contextOf: (indices: BatchIndices) => BlockContext,
    recompute: { random: RandomKeys | undefined; tracked: boolean },
  ): Stream {
    const whole = delta ? add(residual, delta) : residual;
    const output = checkpoint(
      (input, ...again) => {
        const stream = block.forward({ residual: input!, delta: undefined }, contextOf(again as BatchIndices));
        return add(stream.residual, stream.delta!);
      },
      [whole, ...indices],
      recompute,
    );
    if (delta) whole.dispose();
    return { residual: output, delta: undefined };
  }
}
