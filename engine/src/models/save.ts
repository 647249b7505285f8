import { join } from 'node:path';
import * as commands from '../device/commands/index.js';
import type { FloatDType } from '../device/dtype.js';
import {
  finiteOnly,
  type TensorToWrite,
  type TokenizerSource,
  writeJson,
  writeTokenizerFiles,
  writeWeights,
} from '../formats/index.js';
import type { Parameter } from '../nn/parameter.js';
import { Tensor } from '../tensor/tensor.js';
import { mergedWeight } from './lora/merge.js';
import type { LanguageModel } from './model.js';
import { transpose } from './weight-source.js';

export interface SaveOptions {
  /** Of the weights in the files; that of the model unless given. */
  readonly dtype?: FloatDType;
  /** Adds the attached adapter to the weights that are written; the model itself stays as it is. */
  readonly mergeAdapter?: boolean;
  /** Other values than the model's own, f32 in the shape of the parameter, disposed once written; undefined keeps those. */
  readonly values?: (name: string, parameter: Parameter) => Tensor | Promise<Tensor> | undefined;
  /** Written beside the weights. */
  readonly tokenizer?: TokenizerSource;
  /** generation_config.json */
  readonly generationConfig?: Readonly<Record<string, unknown>>;
  /** Linear layers whose weights are written quantised, by their module names, and what config.json says of them. */
  readonly quantized?: {
    readonly layers: ReadonlyMap<string, readonly TensorToWrite[]>;
    readonly config: Readonly<Record<string, unknown>>;
  };
  /** Bytes of one shard. */
  readonly shardBytes?: number;
  /** Throws LF_ENGINE_WEIGHT_NOT_FINITE for values that are no finite numbers as they would be written. */
  readonly finite?: boolean;
}

const TORCH_NAMES: Readonly<Record<FloatDType, string>> = { f32: 'float32', bf16: 'bfloat16', f16: 'float16' };

/**
 * Writes a model as a Hugging Face folder. One tensor at a time is on the host. With an adapter, W + scale * B A is
 * formed in f32 and rounded once.
 */
export async function savePretrained(model: LanguageModel, folder: string, options: SaveOptions = {}): Promise<void> {
  const {
    dtype = model.dtype,
    mergeAdapter = false,
    values,
    tokenizer,
    generationConfig,
    quantized,
    shardBytes,
    finite,
  } = options;
  const layers = new Map([...model.linears.values()].map((layer) => [layer.weight, layer]));
  const tensors = [...model.parameters()].flatMap(([name, parameter]) => {
    const layer = mergeAdapter ? layers.get(parameter) : undefined;
    const packed = name.endsWith('.weight') && quantized?.layers.get(name.slice(0, -'.weight'.length));
    if (packed) return packed;
    const own = () => values?.(name, parameter) ?? (layer ? mergedWeight(layer) : parameter.toFloat32());
    if (parameter.parts) return partsToWrite(parameter, parameter.parts, dtype, own);
    return [parameterToWrite(name, parameter, dtype, own)];
  });
  const config = { ...model.config.raw, ...(quantized && { quantization_config: quantized.config }) };
  if (!quantized) delete config.quantization_config;
  await writePretrained(folder, tensors, { config, dtype, tokenizer, generationConfig, shardBytes, finite });
}

/** What a folder holds beside the weights. */
export interface PretrainedFiles extends Pick<SaveOptions, 'tokenizer' | 'generationConfig' | 'shardBytes' | 'finite'> {
  /** config.json */
  readonly config: Readonly<Record<string, unknown>>;
  /** Of weights that are not quantised, as config.json names it. */
  readonly dtype: FloatDType;
}

/** Writes tensors under their Hugging Face names, and what describes them, as a Hugging Face folder. */
export async function writePretrained(
  folder: string,
  tensors: readonly TensorToWrite[],
  { config, dtype, tokenizer, generationConfig, shardBytes, finite = false }: PretrainedFiles,
): Promise<void> {
  await writeWeights(
    folder,
    finite ? tensors.map(finiteOnly) : tensors,
    ...(shardBytes === undefined ? [] : [shardBytes]),
  );
  if (tokenizer) writeTokenizerFiles(folder, tokenizer);
  if (generationConfig) writeJson(join(folder, 'generation_config.json'), generationConfig);
  // Last: a folder with a config is whole.
  const { torch_dtype: _, ...rest } = config;
  writeJson(join(folder, 'config.json'), { ...rest, dtype: TORCH_NAMES[dtype] });
}

type Values = () => Tensor | Promise<Tensor>;

/** A parameter as Hugging Face's files have it. `values` makes other f32 values than its own, which are disposed. */
export function parameterToWrite(
  name: string,
  parameter: Parameter,
  dtype: FloatDType,
  values: Values = () => parameter.toFloat32(),
): TensorToWrite {
  if (!parameter.transposed) return tensorToWrite(name, parameter.shape, dtype, values);
  return tensorToWrite(name, parameter.shape.toReversed(), dtype, async () => {
    using own = await values();
    return transpose(own);
  });
}

/** The tensors that files have in the place of a stack [E, rows, columns]. Its values are made once for all of them. */
function partsToWrite(
  parameter: Parameter,
  parts: readonly (readonly string[])[],
  dtype: FloatDType,
  values: Values,
): TensorToWrite[] {
  const [, height, columns] = parameter.shape as [number, number, number];
  let left = parts.flat().length;
  let whole: Tensor | undefined;
  return parts.flatMap((names, e) =>
    names.map((name, i) => {
      const rows = height / names.length;
      return tensorToWrite(name, [rows, columns], dtype, async () => {
        whole ??= await values();
        using matrix = whole.narrow(0, e, 1);
        using place = matrix.narrow(1, i * rows, rows);
        const part = place.reshape(rows, columns);
        if (--left === 0) whole.dispose();
        return part;
      });
    }),
  );
}

/** A tensor whose bytes are read from the device when it is written. `values` makes an f32 tensor that is disposed. */
export function tensorToWrite(
  name: string,
  shape: readonly number[],
  dtype: FloatDType,
  values: Values,
): TensorToWrite {
  return {
    name,
    dtype,
    shape,
    async bytes() {
      using full = await values();
      if (dtype === 'f32') return await full.device.read(full, full.bytes);
      using rounded = Tensor.empty(full.device, shape, dtype);
      commands.copy(full.device.recorder, full, rounded);
      return await full.device.read(rounded, rounded.bytes);
    },
  };
}
