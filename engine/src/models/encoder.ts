import { checkpoint } from '../autograd/checkpoint.js';
import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import type { Linear } from '../nn/linear.js';
import type { Parameter } from '../nn/parameter.js';
import { attention } from '../ops/attention.js';
import { embedding } from '../ops/embedding.js';
import { layerNorm } from '../ops/norm.js';
import { meanPool } from '../ops/pool.js';
import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import { BaseModel } from './base-model.js';
import { largest, type PackedBatch, upload } from './batch.js';
import type { EncoderConfig } from './config.js';
import { modelErrors } from './errors.js';
import { type EncoderModel, type ForwardOptions, isCheckpointed } from './model.js';
import { ParameterSet } from './parameter-set.js';
import type { WeightProvider } from './weights.js';

interface Norm {
  readonly weight: Parameter;
  readonly bias: Parameter;
}

function addNorm(set: ParameterSet, name: string, size: number): Norm {
  return { weight: set.add(`${name}.weight`, [size], 'ones'), bias: set.add(`${name}.bias`, [size], 'zeros') };
}

/** One layer of an encoder: attention and feed-forward, each followed by a LayerNorm of the sum with its input. */
class EncoderBlock {
  private readonly query: Linear;
  private readonly key: Linear;
  private readonly value: Linear;
  private readonly attentionOutput: Linear;
  private readonly attentionNorm: Norm;
  private readonly intermediate: Linear;
  private readonly output: Linear;
  private readonly outputNorm: Norm;

  constructor(
    private readonly config: EncoderConfig,
    layer: number,
    set: ParameterSet,
  ) {
    const { hiddenSize, intermediateSize } = config;
    const name = `encoder.layer.${layer}`;
    const linear = (own: string, out: number, input: number) =>
      set.linear(name, { name: own, out, in: input, bias: true });
    this.query = linear('attention.self.query', hiddenSize, hiddenSize);
    this.key = linear('attention.self.key', hiddenSize, hiddenSize);
    this.value = linear('attention.self.value', hiddenSize, hiddenSize);
    this.attentionOutput = linear('attention.output.dense', hiddenSize, hiddenSize);
    this.attentionNorm = addNorm(set, `${name}.attention.output.LayerNorm`, hiddenSize);
    this.intermediate = linear('intermediate.dense', intermediateSize, hiddenSize);
    this.output = linear('output.dense', hiddenSize, intermediateSize);
    this.outputNorm = addNorm(set, `${name}.output.LayerNorm`, hiddenSize);
  }

  forward(x: Tensor, cuSeqlens: Tensor, maxSeqlen: number, { dropout }: ForwardOptions): Tensor {
    return scope(() => {
      const { numHeads, headDim, hiddenSize, normEps: eps, activation } = this.config;
      const rows = x.shape[0]!;
      const heads = (layer: Linear) => layer.apply(x, { dropout }).reshape(rows, numHeads, headDim);
      const mixed = attention(heads(this.query), heads(this.key), heads(this.value), {
        cuSeqlens,
        maxSeqlen,
        causal: false,
      });
      const attended = this.attentionOutput.apply(mixed.reshape(rows, hiddenSize), { dropout });
      const { attentionNorm, outputNorm } = this;
      const h = layerNorm(attended, attentionNorm.weight, attentionNorm.bias, { eps, residual: x }).y;
      const wide = this.intermediate.apply(h, { activation, dropout });
      const narrow = this.output.apply(wide, { dropout });
      return layerNorm(narrow, outputNorm.weight, outputNorm.bias, { eps, residual: h }).y;
    });
  }
}

/** BERT (Devlin et al. 2019): learnt positions, bidirectional attention, norms after each sublayer. */
export class BertModel extends BaseModel implements EncoderModel {
  readonly kind = 'encoder';
  private readonly words: Parameter;
  private readonly positions: Parameter;
  private readonly types: Parameter;
  private readonly norm: Norm;
  private readonly blocks: readonly EncoderBlock[];

  constructor(
    device: Device,
    dtype: FloatDType,
    readonly config: EncoderConfig,
    weights: WeightProvider,
  ) {
    const set = new ParameterSet(weights);
    const { hiddenSize } = config;
    const name = 'embeddings';
    const words = set.add(`${name}.word_embeddings.weight`, [config.vocabSize, hiddenSize], 'normal');
    const positions = set.add(`${name}.position_embeddings.weight`, [config.maxPositions, hiddenSize], 'normal');
    const types = set.add(`${name}.token_type_embeddings.weight`, [config.typeVocabSize, hiddenSize], 'normal');
    const norm = addNorm(set, `${name}.LayerNorm`, hiddenSize);
    const blocks = Array.from({ length: config.numLayers }, (_, layer) => new EncoderBlock(config, layer, set));
    super(device, dtype, set);
    this.words = words;
    this.positions = positions;
    this.types = types;
    this.norm = norm;
    this.blocks = blocks;
  }

  hidden(batch: PackedBatch, options: ForwardOptions = {}): Tensor {
    const { device, dtype, config } = this;
    const length = largest(batch.positions) + 1;
    if (length > config.maxPositions) throw modelErrors.SEQUENCE_TOO_LONG({ length, limit: config.maxPositions });
    return scope(() => {
      const cuSeqlens = upload(device, batch.cuSeqlens);
      const sum = embedding([
        { ids: upload(device, batch.tokens), table: this.words },
        { ids: upload(device, batch.positions), table: this.positions },
        { ids: upload(device, new Int32Array(batch.tokens.length)), table: this.types },
      ]);
      let x = layerNorm(sum, this.norm.weight, this.norm.bias, { eps: config.normEps, dtype }).y;
      sum.dispose();
      const recompute = { random: options.dropout, tracked: this.trainableParameters().size > 0 };
      for (const [layer, block] of this.blocks.entries()) {
        const before = x;
        const run = (input: Tensor, cu: Tensor) => block.forward(input, cu, batch.maxSeqlen, options);
        x = isCheckpointed(options.checkpointing, layer)
          ? checkpoint((input, cu) => run(input!, cu!), [before, cuSeqlens], recompute)
          : run(before, cuSeqlens);
        before.dispose();
      }
      return x;
    });
  }

  embed(batch: PackedBatch, { normalize = true }: { normalize?: boolean } = {}): Tensor {
    return scope(() => {
      const { cuSeqlens } = batch;
      const lengths = Array.from(cuSeqlens.subarray(1), (end, i) => end - cuSeqlens[i]!);
      return meanPool(this.hidden(batch), upload(this.device, cuSeqlens), { normalize, lengths });
    });
  }
}
