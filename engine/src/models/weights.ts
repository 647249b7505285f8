import type { RandomKey } from '../device/commands/data.js';
import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { type FloatDType, isBlockFormat } from '../device/dtype.js';
import type { TensorEntry } from '../formats/model-source.js';
import { Parameter, type WeightSource } from '../nn/parameter.js';
import { unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { modelErrors } from './errors.js';
import type { Shard } from './shard.js';
import { eightBitSource, fileSource, stackSource, transposedSource } from './weight-source.js';

/** How a parameter begins when a model is made from its config alone. */
export type Initial = 'normal' | 'ones' | 'zeros';

/**
 * What matrices are kept in: f32 or bf16; or as stored, which leaves frozen ones of GGUF's block formats, and of GPTQ, AWQ
 * and compressed-tensors checkpoints of 4 bits, in their own bits (a weight of Q4_1 takes 5, one of GPTQ in groups of 128
 * 4.19) and everything else in the precision of activations. With activations in bf16, products
 * outside of training then round these to 8 bits in groups of 32; with activations in f32 nothing is rounded. q8_0 rounds
 * frozen matrices of products to GGUF's 8 bits, where the backend can use them so; the rest is as without a precision.
 */
export type WeightPrecision = 'as-stored' | 'f32' | 'bf16' | 'q8_0';

/** Gives a model its parameters by name and shape: from files, or drawn at random. */
export interface WeightProvider {
  /** Whose part of the parameters it gives, of a model that is split among devices. */
  readonly shard?: Shard;
  /** `transposed` says that files have the matrix as [columns, rows]; the parameter has the given shape in any case. */
  parameter(name: string, shape: readonly number[], initial: Initial, transposed?: boolean): Parameter;
  /** Matrices [E, rows, columns] that files have one by one: the rows of matrix e are those of the tensors `parts[e]`. */
  stack(name: string, shape: readonly [number, number, number], parts: readonly (readonly string[])[]): Parameter;
}

/** What a model is loaded from: its config.json and its tensors under their Hugging Face names (a ModelSource is that). */
export interface WeightFiles {
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** Names that checkpoints carry although they are no weights, or none that this engine uses. */
const IGNORED = [
  /\.rotary_emb\.inv_freq$/,
  /\.position_ids$/,
  /^(bert\.)?pooler\./,
  /^cls\./,
  /\.masked_bias$/,
  /\.attn\.bias$/,
  /\.attention\.bias$/,
];

/** Parameters that are read from files, which stay mapped or are mapped again when a parameter is needed in another form. */
export class FileWeights implements WeightProvider {
  private readonly used = new Set<string>();
  private readonly missing: string[] = [];

  constructor(
    private readonly device: Device,
    private readonly dtype: FloatDType,
    private readonly files: WeightFiles,
    /** What names may begin with in the files, or lack. */
    private readonly prefix: string,
    private readonly precision: WeightPrecision | undefined = undefined,
  ) {}

  parameter(name: string, shape: readonly number[], _initial: Initial, transposed = false): Parameter {
    const stored = this.find(name);
    if (!stored) {
      this.missing.push(name);
      return new Parameter(this.device, name, shape, this.dtype, unavailable(name));
    }
    const turned = transposed && stored.transform !== 'transposed';
    this.use(stored, name, turned ? shape.toReversed() : shape);
    const source = fileSource(this.device, stored);
    const values = turned ? transposedSource(source) : source;
    const parameter = new Parameter(this.device, name, shape, this.matrixDType, values);
    parameter.transposed = transposed;
    parameter.keepsBlocks = this.precision === 'as-stored' || this.precision === 'q8_0';
    if (this.precision === 'q8_0' && !turned) parameter.packedFrom = eightBitSource(this.device, stored);
    return parameter;
  }

  stack(name: string, shape: readonly [number, number, number], parts: readonly (readonly string[])[]): Parameter {
    const [, rows, columns] = shape;
    const found = parts.map((names) => names.map((part) => this.find(part)));
    this.missing.push(...parts.flatMap((names, e) => names.filter((_, i) => !found[e]![i])));
    const stored = found.map((matrix) => matrix.filter((part) => part !== undefined));
    stored.forEach((matrix, e) => {
      matrix.forEach((part, i) => void this.use(part, parts[e]![i]!, [rows / parts[e]!.length, columns]));
    });
    const parameter = new Parameter(
      this.device,
      name,
      shape,
      this.matrixDType,
      stackSource(this.device, shape, stored),
    );
    parameter.parts = parts;
    return parameter;
  }

  /** Checks a tensor that is going to be a parameter, or a part of one. */
  private use(stored: TensorEntry, name: string, expected: readonly number[]): void {
    this.used.add(stored.name);
    if (stored.shape.length !== expected.length || stored.shape.some((n, i) => n !== expected[i])) {
      throw modelErrors.TENSOR_SHAPE({ name, expected, actual: stored.shape });
    }
    if (!isBlockFormat(stored.dtype) && !['f32', 'f16', 'bf16', 'f64'].includes(stored.dtype)) {
      throw modelErrors.TENSOR_DTYPE({ name, dtype: stored.dtype });
    }
  }

  /** Throws when tensors were missing, or when the files hold some that no parameter asked for. */
  check(modelType: string, unneeded: readonly string[] = []): void {
    const present = [...this.files.tensors.keys()];
    if (this.missing.length > 0) throw modelErrors.MISSING_TENSORS({ missing: this.missing, present });
    const expected = new Set(unneeded.map((name) => this.find(name)?.name));
    const unknown = present.filter(
      (name) => !this.used.has(name) && !expected.has(name) && !IGNORED.some((pattern) => pattern.test(name)),
    );
    if (unknown.length > 0) throw modelErrors.UNKNOWN_TENSORS({ modelType, unknown, examples: [...this.used] });
  }

  private get matrixDType(): FloatDType {
    return this.precision === 'f32' || this.precision === 'bf16' ? this.precision : this.dtype;
  }

  private find(name: string): TensorEntry | undefined {
    const { tensors } = this.files;
    const bare = name.startsWith(this.prefix) ? name.slice(this.prefix.length) : name;
    return tensors.get(name) ?? tensors.get(bare) ?? tensors.get(this.prefix + bare);
  }
}

function unavailable(name: string): WeightSource {
  return {
    direct: false,
    open: () => {
      throw modelErrors.MISSING_TENSORS({ missing: [name], present: [] });
    },
  };
}

/** Parameters drawn as transformers draws them: matrices normal with the config's deviation, norms 1, biases 0. */
export class RandomWeights implements WeightProvider {
  private stream = 0;

  constructor(
    private readonly device: Device,
    private readonly dtype: FloatDType,
    private readonly deviation: number,
    private readonly seed: number,
  ) {}

  stack(name: string, shape: readonly [number, number, number], parts: readonly (readonly string[])[]): Parameter {
    const parameter = this.parameter(name, shape, 'normal');
    parameter.parts = parts;
    return parameter;
  }

  parameter(name: string, shape: readonly number[], initial: Initial, transposed = false): Parameter {
    const { device } = this;
    const values = unscoped(() => Tensor.empty(device, shape, 'f32', 'persistent'));
    const key: RandomKey = {
      seedLow: this.seed >>> 0,
      seedHigh: Math.floor(this.seed / 2 ** 32) >>> 0,
      stream: this.stream++,
    };
    if (initial === 'normal') commands.random(device.recorder, 'normal', 0, this.deviation, key, values);
    else commands.fill(device.recorder, initial === 'ones' ? 1 : 0, values);
    const parameter = new Parameter(device, name, shape, this.dtype, values);
    parameter.transposed = transposed;
    return parameter;
  }
}
