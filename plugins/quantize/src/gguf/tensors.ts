import {
  byteLength,
  bytesOf,
  type CausalLanguageModel,
  commands,
  type Device,
  type DType,
  ggufPlace,
  isBlockFormat,
  type Parameter,
  ropeFactors,
  scope,
  Tensor,
  type TensorToWrite,
} from '@largeforge/engine';
import { quantizeErrors } from '../errors.js';
import { blockTypeOf, type GgufRecipe } from './block-types.js';

/** A tensor of a GGUF file that is to be written, and what became of its type. */
export interface GgufTensorPlan {
  readonly tensor: TensorToWrite;
  readonly elements: number;
  /** What the recipe says, where the width does not allow it. */
  readonly instead: DType | undefined;
}

/**
 * The tensors of a model as GGUF has them. Matrices are encoded on the device when their bytes are asked for.
 * @param importance of the inputs of linear layers, by their module names
 * Throws LF_QUANTIZE_UNSUPPORTED_MODEL for a tensor that the format has no place for.
 */
export function ggufTensors(
  model: CausalLanguageModel,
  architecture: string,
  recipe: GgufRecipe,
  importance: ReadonlyMap<string, Float32Array>,
): GgufTensorPlan[] {
  const { config, device } = model;
  const shape = { layers: config.numLayers, tied: config.tieWordEmbeddings };
  const plans = [...model.parameters()].map(([name, parameter]): GgufTensorPlan => {
    const place = ggufPlace(architecture, name);
    if (!place) throw quantizeErrors.LF_QUANTIZE_UNSUPPORTED_MODEL({ what: `GGUF has no place for ${name}` });
    const heads = place.permuted ? (place.part === 'attn_k' ? config.numKvHeads : config.numHeads) : undefined;
    if (parameter.shape.length < 2) {
      const bytes = () => encoded(device, name, parameter, { dtype: 'f32', heads });
      const tensor = { name: place.name, dtype: 'f32', shape: parameter.shape, bytes } as const;
      return { tensor, elements: parameter.elements, instead: undefined };
    }
    const width = parameter.shape[1]!;
    const { dtype, instead } = blockTypeOf(recipe, { ...place, width }, shape);
    const weights = importance.get(name.replace(/\.weight$/, ''));
    const bytes = () => encoded(device, name, parameter, { dtype, heads, weights });
    return {
      tensor: { name: place.name, dtype, shape: parameter.shape, bytes },
      elements: parameter.elements,
      instead,
    };
  });
  const factors = ropeFactors(config.raw);
  if (!factors) return plans;
  const tensor = {
    name: 'rope_freqs.weight',
    dtype: 'f32',
    shape: [factors.length],
    bytes: () => bytesOf(factors),
  } as const;
  return [...plans, { tensor, elements: factors.length, instead: undefined }];
}

async function encoded(
  device: Device,
  name: string,
  parameter: Parameter,
  { dtype, heads, weights }: { dtype: DType; heads: number | undefined; weights?: Float32Array | undefined },
): Promise<Uint8Array> {
  using values = parameter.toFloat32();
  using wrong = scope(() => {
    const count = Tensor.zeros(device, [1]);
    commands.reduce(device.recorder, 'countNonfinite', values, count);
    return count;
  });
  if ((await wrong.item()) > 0) {
    const at = (await values.floats()).findIndex((value) => !Number.isFinite(value));
    const columns = parameter.shape.at(-1)!;
    const place = { layer: name, row: Math.floor(at / columns), column: at % columns };
    throw quantizeErrors.LF_QUANTIZE_WEIGHT_NOT_FINITE(place);
  }
  using out = scope(() => {
    const source = heads === undefined ? values : paired(values, heads);
    if (dtype === 'f32') return source.renamed();
    const target = Tensor.empty(device, parameter.shape, dtype);
    const operands = { src: source, dst: target };
    if (!isBlockFormat(dtype)) commands.copy(device.recorder, source, target);
    else {
      const importance = weights && Tensor.from(device, weights);
      commands.encodeBlocks(device.recorder, { ...operands, ...(importance && { importance }) });
    }
    return target;
  });
  return await device.read(out, byteLength(dtype, parameter.shape));
}

/** Rows (i, i + half) of each head as pairs (2i, 2i + 1), which is where GGUF has those of llama's queries and keys. */
function paired(values: Tensor, heads: number): Tensor {
  const rows = values.shape[0]!;
  const columns = values.elements / rows;
  const half = rows / heads / 2;
  const out = Tensor.empty(values.device, values.shape);
  const strides = [2 * half * columns, columns, half * columns, 1];
  const shape = [heads, half, 2, columns];
  commands.copy(values.device.recorder, values.view(shape, strides), out.reshape(...shape));
  return out;
}
