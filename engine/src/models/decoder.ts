import { checkpoint } from '../autograd/checkpoint.js';
import { inModule } from '../autograd/module-path.js';
import type { RandomKeys } from '../autograd/random.js';
import { withoutTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import type { Parameter } from '../nn/parameter.js';
import { attention } from '../ops/attention.js';
import { add, softcap } from '../ops/elementwise.js';
import { embedding, gatherRows } from '../ops/embedding.js';
import { linear } from '../ops/linear.js';
import { type CrossEntropyOptions, type CrossEntropyResult, crossEntropy } from '../ops/loss.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { BaseModel } from './base-model.js';
import { largest, longestRun, type PackedBatch, type PagedBatch, upload } from './batch.js';
import type { DecoderConfig } from './config.js';
import { type BlockContext, DecoderBlock } from './decoder-block.js';
import { modelErrors } from './errors.js';
import { KvCache, type KvCacheOptions, type KvShape } from './kv-cache.js';
import {
  type CausalLanguageModel,
  type ForwardOptions,
  type HiddenStates,
  isCheckpointed,
  type LayerPart,
} from './model.js';
import { addNoise } from './noise.js';
import { Norm, type Stream } from './norm.js';
import { ParameterSet } from './parameter-set.js';
import { Rotary } from './rotary.js';
import { type Shard, vocabularyRows } from './shard.js';
import type { WeightProvider } from './weights.js';

/** Positions [T], starts of the sequences [B + 1], inverse frequencies of the rotations: what blocks read besides the stream. */
type BatchIndices = [positions: Tensor, cuSeqlens: Tensor, invFreq: Tensor, localInvFreq: Tensor];

/** A decoder-only transformer, put together as its config says. */
export class DecoderModel extends BaseModel implements CausalLanguageModel {
  readonly kind = 'causal';
  private readonly embedTokens: Parameter;
  private readonly blocks: readonly DecoderBlock[];
  private readonly embedPositions: Parameter | undefined;
  private readonly norm: Norm;
  private readonly head: Parameter;
  /** This rank's part, of a model that is split among devices; its config then counts what the rank has. */
  private readonly shard: Shard | undefined;
  private readonly rotary: Rotary;
  private readonly localRotary: Rotary;

  constructor(
    device: Device,
    dtype: FloatDType,
    readonly config: DecoderConfig,
    weights: WeightProvider,
  ) {
    const set = new ParameterSet(weights);
    const { hiddenSize, modules } = config;
    const { shard } = weights;
    const rows = vocabularyRows(config.vocabSize, shard?.ways ?? 1);
    const embedTokens = set.add(`${modules.embedding}.weight`, [rows, hiddenSize], 'normal');
    const embedPositions =
      modules.positions && set.add(`${modules.positions}.weight`, [config.maxPositions, hiddenSize], 'normal');
    const blocks = Array.from({ length: config.numLayers }, (_, layer) => new DecoderBlock(config, layer, set));
    const norm = new Norm(config, set, modules.finalNorm, hiddenSize);
    const head = config.tieWordEmbeddings
      ? embedTokens
      : set.add(`${modules.head}.weight`, [rows, hiddenSize], 'normal');
    super(device, dtype, set);
    this.embedTokens = embedTokens;
    this.embedPositions = embedPositions || undefined;
    this.blocks = blocks;
    this.norm = norm;
    this.head = head;
    this.shard = shard;
    this.rotary = new Rotary(device, config.rope);
    this.localRotary = config.localRope ? new Rotary(device, config.localRope) : this.rotary;
  }

  hidden(batch: PackedBatch, options: ForwardOptions = {}): Tensor {
    return scope(() => this.hiddenStates(batch, [], options).last);
  }

  hiddenStates(batch: PackedBatch, layers: readonly number[], options: ForwardOptions = {}): HiddenStates {
    return scope(() => {
      const indices = this.indicesOf(batch);
      const contextOf = (own: BatchIndices) => this.contextOf(own, batch.maxSeqlen, options.dropout);
      const context = contextOf(indices);
      const embedded = this.embed(batch.tokens, indices[0]);
      if (options.noise) addNoise(embedded, batch.cuSeqlens, options.noise);
      const recompute = { random: options.dropout, tracked: this.trainableParameters().size > 0 };
      const states: Tensor[] = [];
      let stream: Stream = { residual: embedded, delta: undefined };
      for (const [layer, block] of this.blocks.entries()) {
        const before = stream;
        stream = isCheckpointed(options.checkpointing, layer)
          ? this.checkpointed(block, before, indices, contextOf, recompute)
          : block.forward(before, context);
        before.delta?.dispose();
        if (stream.residual !== before.residual && !states.includes(before.residual)) before.residual.dispose();
        if (layers.includes(layer + 1) && layer + 1 < this.blocks.length) {
          stream = { residual: stream.delta ? add(stream.residual, stream.delta) : stream.residual, delta: undefined };
          states[layers.indexOf(layer + 1)] = stream.residual;
        }
      }
      const last = this.finalNorm(stream);
      const ofLayers = layers.map((layer, i) => (layer === this.blocks.length ? last : (states[i] as Tensor)));
      return { last, layers: ofLayers };
    });
  }

  embedded(batch: PackedBatch): Tensor {
    return scope(() => this.embed(batch.tokens, upload(this.device, batch.positions)));
  }

  runLayer(layer: number, residual: Tensor, batch: PackedBatch): Tensor {
    return scope(() => {
      const context = this.contextOf(this.indicesOf(batch), batch.maxSeqlen, undefined);
      const stream = this.blocks[layer]!.forward({ residual, delta: undefined }, context);
      return add(stream.residual, stream.delta!);
    });
  }

  layerParts(layer: number): LayerPart[] {
    return this.blocks[layer]!.parts().map(({ feeds, run }) => ({
      feeds,
      run: (state, batch) => scope(() => run(state, this.contextOf(this.indicesOf(batch), batch.maxSeqlen, undefined))),
    }));
  }

  normalized(residual: Tensor): Tensor {
    return scope(() => this.finalNorm({ residual, delta: undefined }));
  }

  get cacheShape(): KvShape {
    return this.config;
  }

  createCache(options: KvCacheOptions): KvCache {
    return new KvCache(this.device, this.config, options);
  }

  crossEntropy(hidden: Tensor, labels: Tensor | Int32Array, options: CrossEntropyOptions = {}): CrossEntropyResult {
    return scope(() => {
      const ids = labels instanceof Int32Array ? upload(this.device, labels) : labels;
      return inModule(this.head.name, () =>
        crossEntropy(hidden, this.head, ids, { softcap: this.config.logitSoftcap, ...options }),
      );
    });
  }

  logits(hiddenRows: Tensor): Tensor {
    return inModule(this.head.name, () =>
      scope(() => {
        const own = linear(hiddenRows, this.head, { dtype: 'f32' });
        return softcap(this.shard ? this.allLogits(own, this.shard) : own, this.config.logitSoftcap);
      }),
    );
  }

  decode(batch: PagedBatch, cache: KvCache): Tensor {
    const { device, dtype, config } = this;
    const { maxContext = largest(batch.context), maxNewTokens = longestRun(batch.cuSeqlens) } = batch;
    this.checkLength(largest(batch.positions) + 1);
    return withoutTape(() =>
      scope(() => {
        const sequences = batch.context.length;
        const slots = upload(device, batch.slots);
        const blockTable = upload(device, batch.blockTable, [sequences, batch.maxBlocks]);
        const cuQ = upload(device, batch.cuSeqlens);
        const lengths = upload(device, batch.context);
        const outputRows = upload(device, batch.outputRows);
        const positions = upload(device, batch.positions);
        const full = Array.from(batch.context, (context, b) => Math.max(context, batch.fullLengths?.[b] ?? 0));
        const rotation = (rotary: Rotary) => ({
          invFreq: rotary.frequencies(full, batch.cuSeqlens),
          scale: rotary.scale,
        });
        const context: BlockContext = {
          dtype,
          positions,
          rotation: rotation(this.rotary),
          localRotation: rotation(this.localRotary),
          adapterIds: batch.adapters && upload(device, batch.adapters),
          shard: this.shard,
          attend: (layer, q, k, v) => {
            const cached = cache.layer(layer);
            commands.kvWrite(device.recorder, { k, v, slots, ...cached });
            const out = Tensor.empty(device, q.shape, q.dtype);
            commands.attentionPaged(
              device.recorder,
              {
                scale: config.attentionScales[layer]!,
                window: config.windows[layer],
                softcap: config.attentionSoftcap,
                maxQ: maxNewTokens,
                maxContext,
                invariant: batch.invariant,
              },
              { q, ...cached, blockTable, cuQ, context: lengths, out },
            );
            return out;
          },
        };
        let stream: Stream = { residual: this.embed(batch.tokens, positions), delta: undefined };
        for (const block of this.blocks) {
          const before = stream;
          stream = block.forward(before, context);
          before.delta?.dispose();
          if (stream.residual !== before.residual) before.residual.dispose();
        }
        // Only the rows that are asked for are normalised.
        const rows: Stream = {
          residual: gatherRows(stream.residual, outputRows),
          delta: gatherRows(stream.delta!, outputRows),
        };
        return this.norm.enter(rows, dtype).y;
      }),
    );
  }

  override prepare(options: { backward?: boolean } = {}): void {
    super.prepare(options);
    this.head.forward();
    if (options.backward) this.head.packedBackward();
  }

  override dispose(): void {
    this.rotary.dispose();
    this.localRotary.dispose();
    super.dispose();
  }

  /** The logits of every rank's part of the vocabulary, [R, vocabSize]. */
  private allLogits(own: Tensor, shard: Shard): Tensor {
    const { recorder } = this.device;
    const byRank = shard.gatherColumns(own);
    const [rows, ways, columns] = byRank.shape as [number, number, number];
    const all = Tensor.empty(this.device, [rows, ways * columns], 'f32');
    commands.copy(recorder, byRank, all.reshape(rows, ways, columns));
    const { vocabSize } = this.config;
    if (ways * columns === vocabSize) return all;
    const exact = Tensor.empty(this.device, [rows, vocabSize], 'f32');
    commands.copy(recorder, all.narrow(1, 0, vocabSize), exact);
    return exact;
  }

  /** Embeddings of tokens of which each rank has some: 0 for those of others, then the sum. */
  private embedShard(tokens: Int32Array, positions: Tensor, shard: Shard): Tensor {
    const { device, config } = this;
    const rows = this.embedTokens.shape[0]!;
    const first = shard.rank * rows;
    const isOwn = (token: number) => token >= first && token < first + rows;
    // What is no token at all stays so, and is the lookup's error.
    const known = (token: number) => token >= 0 && token < config.vocabSize;
    const ids = tokens.map((token) => (isOwn(token) ? token - first : known(token) ? 0 : config.vocabSize));
    const words = { ids: upload(device, ids), table: this.embedTokens };
    const out = embedding([words], { scale: this.embedPositions ? 1 : config.embeddingScale });
    const own = Tensor.from(
      device,
      Float32Array.from(tokens, (token) => (isOwn(token) ? 1 : 0)),
      [tokens.length],
    );
    commands.binary(device.recorder, 'mul', out, own.view(out.shape, [1, 0]), out);
    shard.sum(out);
    if (this.embedPositions) commands.embedding(device.recorder, positions, this.embedPositions.table(), out, 1, true);
    return out;
  }

  private embed(tokens: Int32Array, positions: Tensor): Tensor {
    const { shard } = this;
    if (shard) return inModule(this.embedTokens.name, () => scope(() => this.embedShard(tokens, positions, shard)));
    const words = { ids: upload(this.device, tokens), table: this.embedTokens };
    return inModule(this.embedTokens.name, () =>
      this.embedPositions
        ? embedding([words, { ids: positions, table: this.embedPositions }])
        : embedding([words], { scale: this.config.embeddingScale }),
    );
  }

  private finalNorm(stream: Stream): Tensor {
    return inModule(this.config.modules.finalNorm, () => this.norm.enter(stream, this.dtype).y);
  }

  /** What blocks read of a batch, on the device. */
  private indicesOf(batch: PackedBatch): BatchIndices {
    const { cuSeqlens: starts } = batch;
    const lengths = Array.from(starts.subarray(1), (end, b) => largest(batch.positions.subarray(starts[b], end)) + 1);
    this.checkLength(largest(Int32Array.from(lengths)));
    return [
      upload(this.device, batch.positions),
      upload(this.device, batch.cuSeqlens),
      this.rotary.frequencies(lengths, batch.cuSeqlens),
      this.localRotary.frequencies(lengths, batch.cuSeqlens),
    ];
  }

  private contextOf(
    [positions, cuSeqlens, invFreq, localInvFreq]: BatchIndices,
    maxSeqlen: number,
    dropout: RandomKeys | undefined,
  ): BlockContext {
    const { dtype, config } = this;
    return {
      dtype,
      positions,
      rotation: { invFreq, scale: this.rotary.scale },
      localRotation: { invFreq: localInvFreq, scale: this.localRotary.scale },
      dropout,
      shard: this.shard,
      attend: (layer, q, k, v) =>
        attention(q, k, v, {
          cuSeqlens,
          maxSeqlen,
          causal: true,
          window: config.windows[layer],
          scale: config.attentionScales[layer],
          softcap: config.attentionSoftcap,
        }),
    };
  }

  /** Learnt positions end where the table does. */
  private checkLength(length: number): void {
    const limit = this.config.maxPositions;
    if (this.embedPositions && length > limit) throw modelErrors.SEQUENCE_TOO_LONG({ length, limit });
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
