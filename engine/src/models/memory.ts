import { elementBytes, type FloatDType } from '../device/dtype.js';
import type { DecoderConfig, EncoderConfig, ModelConfig } from './config.js';
import { attentionLinears, feedForwardLinears, sharedExpertLinears } from './decoder-modules.js';
import { KvCache, type KvCacheType } from './kv-cache.js';
import { type TargetModules, targetLayers } from './lora/targets.js';
import { type CheckpointPolicy, isCheckpointed } from './model.js';
import { type OptimizerKind, rememberedBytes, type TrainedKind } from './optimizer-memory.js';

/** What an estimate must know of an adapter. */
type AdapterPlan = NonNullable<NonNullable<MemoryPlan['training']>['lora']>;

/** What is going to run, for an estimate of its memory. */
export interface MemoryPlan {
  readonly dtype: FloatDType;
  /** Rows that are computed at once: tokens of a micro-batch, or of a prefill step. */
  readonly tokens: number;
  readonly training?: {
    /** The adapter that is trained; without it every parameter is. */
    readonly lora?: {
      readonly r: number;
      readonly targetModules?: TargetModules;
      readonly dora?: boolean;
      /** Modules that are trained in full beside it; only embeddings and the head count. */
      readonly modulesToSave?: readonly string[];
    };
    readonly checkpointing?: CheckpointPolicy;
    readonly optimizer?: OptimizerKind;
    /** Bits of an element of the frozen layers beside an adapter, when they are kept in codes. */
    readonly frozenBits?: number;
    /** Whether a moving average of what is trained is kept. */
    readonly average?: boolean;
  };
  /** Bits of an element of the layers' matrices, where these stay quantised (4.1875 for 4 bits in groups of 128). */
  readonly weightBits?: number;
  /** Positions that a key-value cache holds, and how; in `dtype` unless given. */
  readonly cachePositions?: number;
  readonly cacheType?: KvCacheType;
}

/** Bytes by what they are for. */
export interface MemoryEstimate {
  readonly parameters: number;
  readonly trainableParameters: number;
  readonly weights: number;
  readonly gradients: number;
  /** What the optimiser remembers, and the moving average of the weights. */
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
  /** Elements of matrices that no adapter goes to: experts and their router. */
  readonly experts: number;
}

/**
 * What a plan will take on the device. Weights that stay in a mapped file (embedding tables of frozen models) are not
 * counted; scratch memory of kernels is not known here. Measured runs lie within some per cent of it.
 */
export function estimateMemory(config: ModelConfig, plan: MemoryPlan): MemoryEstimate {
  const { training, dtype } = plan;
  const lora = training?.lora;
  const blocks = Array.from({ length: config.numLayers }, (_, layer) =>
    config.kind === 'decoder' ? decoderBlock(config, layer) : encoderBlock(config),
  );
  const size = ({ out, in: columns }: Shape) => out * columns;
  const sum = (shapes: readonly Shape[]) => total(shapes.map(size));
  const blockMatrices = total(blocks.map(({ linears }) => sum(linears)));
  const experts = total(blocks.map((block) => block.experts));
  const { embeddings, head } = tableElements(config);
  const finalNorm = config.hiddenSize * (config.kind === 'decoder' && config.norm.kind === 'rms' ? 1 : 2);
  const vectors = total(blocks.map((block) => block.vectors)) + finalNorm;
  const tied = config.kind === 'decoder' && config.tieWordEmbeddings;
  const parameters = blockMatrices + experts + embeddings + (tied ? 0 : head) + vectors;

  const targets = lora ? targetShapes(config, blocks, lora) : [];
  const branches = total(targets.map((shape) => (lora?.r ?? 0) * (shape.in + shape.out)));
  const rows = lora?.dora ? total(targets.map(({ out }) => out)) : 0;
  const saved = lora && !tied ? savedTables(config, lora, { embeddings, head }) : { embeddings: 0, head: 0 };
  const beside = rows + saved.embeddings + saved.head;
  const trainable = training ? (lora ? branches + beside : parameters) : 0;
  const compute = elementBytes(dtype);
  const layouts = (training ? 2 : 1) * compute;
  const largest = Math.max(...blocks.flatMap(({ linears }) => linears.map(size)));
  // Codes, and the one weight that is decoded.
  const layers =
    training?.frozenBits === undefined
      ? blockMatrices * (training || plan.weightBits === undefined ? layouts : plan.weightBits / 8)
      : (blockMatrices * training.frozenBits) / 8 + largest * compute;
  // DoRA keeps the squared lengths of the frozen rows.
  const frozen =
    training && !lora ? 0 : layers + (head - saved.head) * layouts + experts * compute + (vectors + rows) * 4;
  const weights = frozen + trainable * (4 + (dtype === 'f32' ? 0 : compute));
  const gradients = trainable * 4;
  const vectorParts = lora ? targets.map(({ out }) => (lora.dora ? out : 0)) : [vectors];
  const tables = lora ? [saved.embeddings, saved.head] : [embeddings, tied ? 0 : head, experts];
  const matrices = lora
    ? targets.flatMap((shape) => [lora.r * shape.in, lora.r * shape.out])
    : blocks.flatMap(({ linears }) => linears.map(size));
  const remembered = (kind: TrainedKind, parts: readonly number[]) =>
    total(parts.map((elements) => rememberedBytes(training?.optimizer ?? 'adamw', kind, elements)));
  const optimizer = training
    ? remembered('matrix', matrices) +
      remembered('table', tables) +
      remembered('vector', vectorParts) +
      (training.average ? 4 * trainable : 0)
    : 0;
  const activations = activationBytes(config, blocks, plan);
  const { cachePositions, cacheType = dtype } = plan;
  const cache = cachePositions && config.kind === 'decoder' ? KvCache.blockBytes(config, cachePositions, cacheType) : 0;
  return {
    parameters: parameters + branches + rows,
    trainableParameters: trainable,
    weights,
    gradients,
    optimizer,
    activations,
    cache,
    total: weights + gradients + optimizer + activations + cache,
  };
}

const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

function decoderBlock(config: DecoderConfig, layer: number): BlockShapes {
  const { hiddenSize, headDim, qkNorm, norm, modules } = config;
  const experts = config.experts?.layers[layer] ? config.experts : undefined;
  const linears = [
    ...attentionLinears(config),
    ...(experts ? sharedExpertLinears(config) : feedForwardLinears(config)),
  ];
  const norms = 2 + (modules.attentionOutputNorm ? 1 : 0) + (modules.feedForwardOutputNorm ? 1 : 0);
  const biases = linears.reduce((sum, { out, bias }) => sum + (bias ? out : 0), 0);
  return {
    linears,
    experts: experts ? experts.count * hiddenSize * (1 + 3 * experts.intermediateSize) : 0,
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
    experts: 0,
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

/** Layers that an adapter goes to. */
function targetShapes(
  config: ModelConfig,
  blocks: readonly BlockShapes[],
  { targetModules = 'all-linear' }: AdapterPlan,
): Shape[] {
  const prefix = config.kind === 'decoder' ? config.modules.layers : 'encoder.layer';
  const layers = blocks.map(({ linears }, i) =>
    linears.map((shape): [string, Shape] => [`${prefix}.${i}.${shape.name}`, shape]),
  );
  const shapes = new Map(layers.flat());
  return targetLayers(shapes, targetModules).map((name) => shapes.get(name)!);
}

/** Elements of the tables that are trained in full beside an adapter. */
function savedTables(
  config: ModelConfig,
  { modulesToSave = [] }: AdapterPlan,
  { embeddings, head }: { embeddings: number; head: number },
) {
  if (config.kind === 'encoder') return { embeddings: 0, head: 0 };
  const named = (module: string) => modulesToSave.some((part) => `.${module}`.endsWith(`.${part}`));
  const { modules } = config;
  return { embeddings: named(modules.embedding) ? embeddings : 0, head: named(modules.head) ? head : 0 };
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
  const wide = targets.map((name) => names.get(name)?.out ?? 0);
  // DoRA keeps what its layers gave before their rows were scaled; its gradient is a sum of f32 products.
  const unscaled = training?.lora?.dora ? total(wide) * b : 0;
  const products = training?.lora?.dora ? 4 * Math.max(...wide) : 0;
  const xa = training?.lora ? targets.length * training.lora.r * b + unscaled : 0;
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
  // Norms of queries and keys, and of what is added to the stream, keep what they had before.
  const headNorms = config.qkNorm ? q + kv + 4 * (numHeads + config.numKvHeads) : 0;
  const outputNorms = [config.modules.attentionOutputNorm, config.modules.feedForwardOutputNorm].filter(Boolean).length;
  const inputs = (first ? d * b : 0) + (second ? d * b : 0) + (third ? i * b : 0);
  // Two sums of the residual stream in f32, or one where both sublayers read the same; and the norms' results.
  const common =
    (config.parallelResidual ? 1 : 2) * (4 * d + 4) + attention + headNorms + outputNorms * (d * b + 4) + xa;
  if (block.experts > 0) return sparsePerToken(config, common + (first ? d * b : 0), plan);
  // Gate and up, or up alone, and what comes of them.
  const plain = config.modules.feedForward.kind === 'plain';
  const inner = plain ? i * b : 2 * i * b;
  return {
    kept: common + inner + inputs,
    // Gradients of gate, up and their product while the product itself is freed; that of the stream.
    backward: inner + 4 * d + d * b + products,
    // Three residual streams with what is added to them, gate, up and their product; an activation alone is fused.
    forward: (plain ? i * b : 3 * i * b) + 12 * d + 4 * d * b,
  };
}

/** The same of a layer with experts. `common` is what the rest of the layer keeps. */
function sparsePerToken(
  { experts, hiddenSize: d }: DecoderConfig,
  common: number,
  { dtype, training }: MemoryPlan,
): { kept: number; backward: number; forward: number } {
  const b = elementBytes(dtype);
  const { perToken, intermediateSize: i, count, sharedIntermediateSize: shared } = experts!;
  // The router's probabilities, and rows and weights of pairs.
  const routing = 4 * count + 8 * perToken;
  // Of each pair: gate and up, and the result; the inputs of both products where the experts themselves are trained.
  const pair = 2 * i * b + d * b + (training && !training.lora ? d * b + i * b : 0);
  const sharedKept = shared > 0 ? 3 * shared * b + d * b : 0;
  return {
    kept: common + d * b + routing + perToken * pair + sharedKept,
    backward: perToken * (2 * i * b + d * b) + 4 * d + d * b,
    forward: 4 * d + Math.max(perToken * (3 * i + 3 * d) * b, (3 * shared + 2 * d) * b) + 12 * d + 4 * d * b,
  };
}

/** Names of a block's layers that an adapter goes to. */
function targetNames(names: ReadonlyMap<string, unknown>, target: TargetModules): string[] {
  // A pattern is written for whole module names, which begin with the layer's.
  if (typeof target === 'string') return [...names.keys()];
  return [...names.keys()].filter((name) =>
    target.some((part) => name === part || name.endsWith(`.${part}`) || part.endsWith(`.${name}`)),
  );
}

function activationBytes(config: ModelConfig, blocks: readonly BlockShapes[], plan: MemoryPlan): number {
  const { tokens, training, dtype } = plan;
  const each = blocks.map((block) => perToken(config, block, plan));
  const most = (part: 'kept' | 'backward' | 'forward') => Math.max(...each.map((block) => block[part]));
  const stream = config.hiddenSize * (config.kind === 'decoder' ? 4 : elementBytes(dtype));
  if (!training) return tokens * most('forward');
  // Block by block backwards: what the blocks before it keep, what it keeps itself, from the forward pass or computed again,
  // and what its backward pass works on. A block that is computed again keeps its input.
  let [before, peak] = [0, 0];
  for (const [i, { kept, backward }] of each.entries()) {
    const again = isCheckpointed(training.checkpointing, i);
    peak = Math.max(peak, before + (again ? stream : 0) + kept + backward);
    before += again ? stream : kept;
  }
  return tokens * peak;
}
