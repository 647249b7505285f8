import { elementBytes, type FloatDType } from '../device/dtype.js';
import type { DecoderConfig, EncoderConfig, ModelConfig } from './config.js';
import { attentionLinears, feedForwardLinears } from './decoder-modules.js';
import { type TargetModules, targetLayers } from './lora/targets.js';

/** What is going to run, for an estimate of its memory. */
export interface MemoryPlan {
  readonly dtype: FloatDType;
  /** Rows that are computed at once: tokens of a micro-batch, or of a prefill step. */
  readonly tokens: number;
  readonly training?: {
    /** The adapter that is trained; without it every parameter is. */
    readonly lora?: { readonly r: number; readonly targetModules?: TargetModules };
    readonly checkpointing?: boolean;
  };
  /** Positions that a key-value cache holds. */
  readonly cachePositions?: number;
}

/** Bytes by what they are for. */
export interface MemoryEstimate {
  readonly parameters: number;
  readonly trainableParameters: number;
  readonly weights: number;
  readonly gradients: number;
  /** First and second moments of AdamW. */
  readonly optimizer: number;
  /** Largest at one time, the kept ones and those of the block at work. */
  readonly activations: number;
  readonly cache: number;
  readonly total: number;
}

interface Shape {
  readonly name: string;
  readonly out: number;
  readonly in: number;
}

/** Linear layers of one block, and its vectors. */
interface BlockShapes {
  readonly linears: readonly Shape[];
  readonly vectors: number;
}

/**
 * What a plan will take on the device. Weights that stay in a mapped file (embedding tables of frozen models) are not
 * counted; scratch memory of kernels is not known here. Measured runs lie within some per cent of it.
 */
export function estimateMemory(config: ModelConfig, plan: MemoryPlan): MemoryEstimate {
  const { training, dtype } = plan;
  const lora = training?.lora;
  const block = config.kind === 'decoder' ? decoderBlock(config) : encoderBlock(config);
  const size = ({ out, in: columns }: Shape) => out * columns;
  const sum = (shapes: readonly Shape[]) => shapes.reduce((total, shape) => total + size(shape), 0);
  const blockMatrices = sum(block.linears) * config.numLayers;
  const { embeddings, head } = tableElements(config);
  const finalNorm = config.hiddenSize * (config.kind === 'decoder' && config.norm.kind === 'rms' ? 1 : 2);
  const vectors = block.vectors * config.numLayers + finalNorm;
  const tied = config.kind === 'decoder' && config.tieWordEmbeddings;
  const parameters = blockMatrices + embeddings + (tied ? 0 : head) + vectors;

  const branches = lora ? loraElements(config, block, lora) : 0;
  const trainable = training ? (lora ? branches : parameters) : 0;
  const compute = elementBytes(dtype);
  const frozen = training && !lora ? 0 : (blockMatrices + head) * compute * (training ? 2 : 1) + vectors * 4;
  const weights = frozen + trainable * (4 + (dtype === 'f32' ? 0 : compute));
  const gradients = trainable * 4;
  const optimizer = trainable * 8;
  const activations = activationBytes(config, block, plan);
  const cache = plan.cachePositions && config.kind === 'decoder' ? cacheBytes(config, plan.cachePositions, compute) : 0;
  return {
    parameters: parameters + branches,
    trainableParameters: trainable,
    weights,
    gradients,
    optimizer,
    activations,
    cache,
    total: weights + gradients + optimizer + activations + cache,
  };
}

function decoderBlock(config: DecoderConfig): BlockShapes {
  const { hiddenSize, headDim, qkNorm, norm, modules } = config;
  const linears = [...attentionLinears(config), ...feedForwardLinears(config)];
  const norms = 2 + (modules.attentionOutputNorm ? 1 : 0) + (modules.feedForwardOutputNorm ? 1 : 0);
  const biases = linears.reduce((sum, { out, bias }) => sum + (bias ? out : 0), 0);
  return {
    linears,
    vectors: norms * hiddenSize * (norm.kind === 'layer' ? 2 : 1) + (qkNorm ? 2 * headDim : 0) + biases,
  };
}

function encoderBlock({ hiddenSize, intermediateSize }: EncoderConfig): BlockShapes {
  const square = (name: string) => ({ name, out: hiddenSize, in: hiddenSize });
  return {
    linears: [
      square('attention.self.query'),
      square('attention.self.key'),
      square('attention.self.value'),
      square('attention.output.dense'),
      { name: 'intermediate.dense', out: intermediateSize, in: hiddenSize },
      { name: 'output.dense', out: hiddenSize, in: intermediateSize },
    ],
    vectors: 9 * hiddenSize + intermediateSize,
  };
}

function tableElements(config: ModelConfig): { embeddings: number; head: number } {
  const words = config.vocabSize * config.hiddenSize;
  if (config.kind === 'decoder') {
    const positions = config.modules.positions ? config.maxPositions * config.hiddenSize : 0;
    return { embeddings: words + positions, head: words };
  }
  return { embeddings: words + (config.maxPositions + config.typeVocabSize) * config.hiddenSize, head: 0 };
}

function loraElements(
  config: ModelConfig,
  block: BlockShapes,
  { r, targetModules = 'all-linear' }: { r: number; targetModules?: TargetModules },
): number {
  const prefix = config.kind === 'decoder' ? config.modules.layers : 'encoder.layer';
  const layers = Array.from({ length: config.numLayers }, (_, i) =>
    block.linears.map((shape): [string, Shape] => [`${prefix}.${i}.${shape.name}`, shape]),
  );
  const shapes = new Map(layers.flat());
  return targetLayers(shapes, targetModules)
    .map((name) => shapes.get(name)!)
    .reduce((total, shape) => total + r * (shape.in + shape.out), 0);
}

function cacheBytes(config: DecoderConfig, positions: number, bytes: number): number {
  return 2 * config.numLayers * config.numKvHeads * config.headDim * positions * bytes;
}

/** Layers of a block that read the same activation, which is kept once when any of them is trained. */
function inputGroups(config: ModelConfig): string[][] {
  if (config.kind === 'encoder') return [['query', 'key', 'value'], ['intermediate.dense'], ['output.dense']];
  const names = (linears: readonly Shape[]) => linears.map(({ name }) => name);
  const feedForward = names(feedForwardLinears(config));
  return [names(attentionLinears(config)).slice(0, -1), feedForward.slice(0, -1), feedForward.slice(-1)];
}

/** Bytes of activations for each token: what one block keeps, and what is at work in its passes. */
function perToken(
  config: ModelConfig,
  block: BlockShapes,
  plan: MemoryPlan,
): { kept: number; backward: number; forward: number } {
  const { dtype, training } = plan;
  const b = elementBytes(dtype);
  const { hiddenSize: d, intermediateSize: i, numHeads, headDim } = config;
  const q = numHeads * headDim * b;
  const kv = (config.kind === 'decoder' ? config.numKvHeads : numHeads) * headDim * b;
  const names = new Map(block.linears.map((shape) => [shape.name, shape]));
  const targets = training?.lora ? targetNames(names, training.lora.targetModules ?? 'all-linear') : [...names.keys()];
  const xa = training?.lora ? targets.length * training.lora.r * b : 0;
  const [first, second, third] = inputGroups(config).map((group) =>
    group.some((name) => targets.some((target) => target.endsWith(name))),
  );
  // q, k, v, the attention's output, and its log-sum-exp.
  const attention = 2 * q + 2 * kv + 4 * numHeads;
  if (config.kind === 'encoder') {
    // Two sums with their norms and statistics, and the wide layer before and after its activation.
    const kept = attention + 4 * d * b + 16 + 2 * i * b + xa;
    return { kept, backward: i * b + 2 * d * b, forward: 2 * i * b + 5 * d * b };
  }
  // Norms of queries and keys keep what they had before.
  const headNorms = config.qkNorm ? q + kv + 4 * (numHeads + config.numKvHeads) : 0;
  // Two sums of the residual stream in f32, the norms' results, gate and up, and their product.
  const inputs = (first ? d * b : 0) + (second ? d * b : 0) + (third ? i * b : 0);
  const kept = 2 * (4 * d + 4) + attention + headNorms + 2 * i * b + inputs + xa;
  return {
    kept,
    // Gradients of gate, up and their product while the product itself is freed; that of the stream.
    backward: 2 * i * b + 4 * d + d * b,
    // Three residual streams with what is added to them, gate, up and their product.
    forward: 3 * i * b + 12 * d + 4 * d * b,
  };
}

function targetNames(names: ReadonlyMap<string, unknown>, target: TargetModules): string[] {
  // A pattern is written for whole module names, which begin with the layer's.
  if (typeof target === 'string') return [...names.keys()];
  return targetLayers(names, target);
}

function activationBytes(config: ModelConfig, block: BlockShapes, plan: MemoryPlan): number {
  const { tokens, training, dtype } = plan;
  const { kept, backward, forward } = perToken(config, block, plan);
  const stream = config.hiddenSize * (config.kind === 'decoder' ? 4 : elementBytes(dtype));
  if (!training) return tokens * forward;
  // A block that is computed again shares its input with what was kept, and makes its output once more.
  if (training.checkpointing) return tokens * (config.numLayers * stream + kept + backward);
  return tokens * (config.numLayers * kept + backward);
}
