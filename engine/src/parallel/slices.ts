import * as commands from '../device/commands/index.js';
import { byteLength, type DType, isBlockFormat } from '../device/dtype.js';
import type { DecoderConfig } from '../models/config.js';
import { attentionLinears, feedForwardLinears, sharedExpertLinears } from '../models/decoder-modules.js';
import { modelErrors } from '../models/errors.js';
import { vocabularyRows } from '../models/shard.js';
import { scope, unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';

/** What a rank has of a parameter: runs along one dimension, one after the other. */
export interface Slice {
  readonly dimension: number;
  /** Of the parameter along that dimension, before it is split. */
  readonly size: number;
  readonly runs: readonly (readonly [start: number, length: number])[];
  /** What it is filled up to with zeros. */
  readonly padded?: number;
}

const lengthOf = ({ runs, padded }: Slice): number => padded ?? runs.reduce((sum, [, length]) => sum + length, 0);

/** The shape of a slice's whole. */
export const wholeShape = (shape: readonly number[], { dimension, size }: Slice): number[] =>
  shape.map((n, i) => (i === dimension ? size : n));

/** Throws LF_ENGINE_TENSOR_PARALLEL where the model's sizes do not divide by the number of devices. */
export function checkDivides(
  { modelType, numHeads, numKvHeads, intermediateSize, experts }: DecoderConfig,
  ways: number,
) {
  const sizes: [string, number | undefined][] = [
    ['attention heads', numHeads],
    ['key-value heads', numKvHeads],
    ['columns of the feed-forward', intermediateSize],
    ['columns of an expert', experts?.intermediateSize],
    ['columns of the shared expert', experts?.sharedIntermediateSize],
  ];
  for (const [what, size] of sizes) {
    if (size !== undefined && size % ways !== 0)
      throw modelErrors.TENSOR_PARALLEL({ modelType, ways, reason: `${size} ${what} do not divide by ${ways}` });
  }
}

/** The config of a rank's part: what it has of heads and of the feed-forward. */
export function shardConfig(config: DecoderConfig, ways: number): DecoderConfig {
  const { numHeads, numKvHeads, intermediateSize, experts } = config;
  return {
    ...config,
    numHeads: numHeads / ways,
    numKvHeads: numKvHeads / ways,
    intermediateSize: intermediateSize / ways,
    experts: experts && {
      ...experts,
      intermediateSize: experts.intermediateSize / ways,
      sharedIntermediateSize: experts.sharedIntermediateSize / ways,
    },
  };
}

/**
 * What a rank has of each parameter; those that are not named it has whole. Products into heads and into the feed-forward are
 * split by rows, those out of them by columns (Shoeybi et al. 2019, section 3), embedding and head by the vocabulary. Biases
 * that are added to a sum of parts are the first rank's: `zero` names them for the others.
 */
export function slicesOf(config: DecoderConfig, rank: number, ways: number) {
  const slices = new Map<string, Slice>();
  const zero = new Set<string>();
  const { modules, vocabSize, numHeads, numKvHeads, headDim, experts } = config;
  const share = (size: number, from = 0): [number, number] => [from + (rank * size) / ways, size / ways];
  const rows = vocabularyRows(vocabSize, ways);
  const first = Math.min(vocabSize, rank * rows);
  const vocabulary: Slice = {
    dimension: 0,
    size: vocabSize,
    runs: [[first, Math.min(rows, vocabSize - first)]],
    padded: rows,
  };
  for (const name of [modules.embedding, modules.head]) slices.set(`${name}.weight`, vocabulary);
  const byRows = (name: string, size: number, parts: readonly number[]) => {
    const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, part) => sum + part, 0));
    const slice = { dimension: 0, size, runs: parts.map((part, i) => share(part, starts[i])) };
    slices.set(`${name}.weight`, slice);
    slices.set(`${name}.bias`, slice);
  };
  const byColumns = (name: string, size: number) => {
    slices.set(`${name}.weight`, { dimension: 1, size, runs: [share(size)] });
    if (rank > 0) zero.add(`${name}.bias`);
  };
  /** A group of layers of which the last one leads out. */
  const split = (layer: string, linears: ReturnType<typeof attentionLinears>, parts: (out: number) => number[]) => {
    for (const { name, out } of linears.slice(0, -1)) byRows(`${layer}.${name}`, out, parts(out));
    const last = linears.at(-1);
    if (last) byColumns(`${layer}.${last.name}`, last.in);
  };
  const [q, kv] = [numHeads * headDim, numKvHeads * headDim];
  for (let i = 0; i < config.numLayers; i++) {
    const layer = `${modules.layers}.${i}`;
    split(layer, attentionLinears(config), (out) => (modules.qkv.kind === 'stacked' ? [q, kv, kv] : [out]));
    if (!experts?.layers[i]) {
      const stacked = modules.feedForward.kind === 'stacked';
      split(layer, feedForwardLinears(config), (out) => (stacked ? [out / 2, out / 2] : [out]));
      continue;
    }
    split(layer, sharedExpertLinears(config).slice(0, -1), (out) => [out]);
    const stack = `${layer}.${experts.modules.experts}`;
    const wide = experts.intermediateSize;
    slices.set(`${stack}.gate_up_proj`, { dimension: 1, size: 2 * wide, runs: [share(wide), share(wide, wide)] });
    slices.set(`${stack}.down_proj`, { dimension: 2, size: wide, runs: [share(wide)] });
  }
  return { slices, zero };
}

/** Elements of a block of a format. */
const blockExtent = (dtype: DType): number => (dtype.endsWith('_k') ? 256 : 32);

/** Whether a slice of blocks is made of whole ones. */
export function keepsBlocks({ dimension, runs }: Slice, { dtype, group }: { dtype: DType; group: number }): boolean {
  const whole = Math.max(blockExtent(dtype), group);
  return dimension === 0 || runs.flat().every((n) => n % whole === 0);
}

/** A new tensor with a slice of `values`, which stays the caller's: in its type, or in f32 where blocks would be cut. */
export function sliceOf(values: Tensor, slice: Slice): Tensor {
  const { device, dtype, group } = values;
  const blocks = isBlockFormat(dtype);
  if (blocks && !keepsBlocks(slice, { dtype, group })) {
    return scope(() => {
      const plain = Tensor.empty(device, values.shape, 'f32');
      commands.copy(device.recorder, values, plain);
      return sliceOf(plain, slice);
    });
  }
  const shape = values.shape.map((n, i) => (i === slice.dimension ? lengthOf(slice) : n));
  const out = unscoped(() => Tensor.empty(device, shape, dtype, 'transient', group));
  scope(() => {
    // A row of blocks moves as bytes.
    const bytes = (n: number) => byteLength(dtype, [n]);
    const flat = (tensor: Tensor) => {
      if (!blocks) return tensor;
      const [n, columns] = tensor.shape as [number, number];
      return tensor.asBytes().reshape(n, bytes(columns));
    };
    const unit = (n: number) => (blocks && slice.dimension === 1 ? bytes(n) : n);
    const [from, to] = [flat(values), flat(out)];
    let at = 0;
    for (const [start, length] of slice.runs) {
      if (length === 0) continue;
      const target = to.narrow(slice.dimension, unit(at), unit(length));
      commands.copy(device.recorder, from.narrow(slice.dimension, unit(start), unit(length)), target);
      at += length;
    }
    const rest = lengthOf(slice) - at;
    if (rest > 0)
      commands.copy(
        device.recorder,
        zerosLike(to.narrow(slice.dimension, at, rest)),
        to.narrow(slice.dimension, at, rest),
      );
  });
  return out;
}

/** Blocks of zero bytes hold zeros in every format, as floats do. */
function zerosLike(part: Tensor): Tensor {
  return Tensor.from(
    part.device,
    part.dtype === 'u8' ? new Uint8Array(part.elements) : new Float32Array(part.elements),
    part.shape,
  );
}
