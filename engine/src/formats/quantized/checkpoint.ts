import { formatErrors, quoted } from '../errors.js';
import { FileReader } from '../file-reader.js';
import type { TensorEntry } from '../model-source.js';
import { bitsandbytesTensors } from './bitsandbytes.js';
import { decodeScales, type ScaleDType } from './half.js';
import { type QuantizedLayout, unpackWeight, unpackZeros } from './layouts.js';
import type { QuantizedWeight } from './weight.js';

/** A quantised weight that lies in files as several tensors. */
export interface QuantizedTensor {
  readonly layout: QuantizedLayout;
  readonly bits: number;
  readonly groups: number;
  readonly codes: TensorEntry;
  readonly scales: TensorEntry;
  readonly zeros: TensorEntry | undefined;
  readonly groupIndex: TensorEntry | undefined;
}

/** What `quantization_config` of a config.json says, as far as reading needs it. */
interface Scheme {
  readonly layout: QuantizedLayout;
  /** Of the weights of a module. */
  bitsOf(module: string): number;
}

const FIELDS = {
  gptq: { codes: 'qweight', scales: 'scales', zeros: 'qzeros' },
  gptq_v2: { codes: 'qweight', scales: 'scales', zeros: 'qzeros' },
  awq: { codes: 'qweight', scales: 'scales', zeros: 'qzeros' },
  'pack-quantized': { codes: 'weight_packed', scales: 'weight_scale', zeros: 'weight_zero_point' },
  'int-quantized': { codes: 'weight', scales: 'weight_scale', zeros: 'weight_zero_point' },
} as const;

/**
 * The tensors of a checkpoint with the packed ones of each layer as its weight [N, K], f32. Files of models that are not
 * quantised pass unchanged.
 * Throws LF_ENGINE_FILE_UNSUPPORTED for a scheme that is not known, LF_ENGINE_FILE_CORRUPT for a layer that lacks a tensor
 * or whose shapes contradict each other.
 */
export function quantizedTensors(
  path: string,
  config: Readonly<Record<string, unknown>>,
  tensors: ReadonlyMap<string, TensorEntry>,
): ReadonlyMap<string, TensorEntry> {
  const described = config.quantization_config;
  if (described === undefined || described === null) return tensors;
  const { quant_method: method, load_in_4bit: fourBits } = described as Record<string, unknown>;
  if (method === 'bitsandbytes' && fourBits === true) return bitsandbytesTensors(tensors);
  const { layout, bitsOf } = schemeOf(path, described as Record<string, unknown>);
  const fields = FIELDS[layout];
  const out = new Map(tensors);
  for (const [name, codes] of tensors) {
    if (!name.endsWith(`.${fields.codes}`)) continue;
    // Weights that are not quantised have the same name.
    if (layout === 'int-quantized' && codes.dtype !== 'i8') continue;
    const module = name.slice(0, -fields.codes.length - 1);
    const bits = bitsOf(module);
    const part = (field: string) => tensors.get(`${module}.${field}`);
    const [scales, zeros, groupIndex] = [part(fields.scales), part(fields.zeros), part('g_idx')];
    const fail = (reason: string) =>
      formatErrors.FILE_CORRUPT({ path: codes.file, reason: `layer ${quoted(module)} ${reason}` });
    if (part('weight_g_idx')) {
      throw formatErrors.FILE_UNSUPPORTED({
        path: codes.file,
        reason: `the groups of layer ${quoted(module)} are in another order than its columns (weight_g_idx)`,
        remedy: 'Quantise it without act-order or with static groups, or use the model in bf16.',
      });
    }
    const compressed = layout === 'pack-quantized' || layout === 'int-quantized';
    if (!scales || (!zeros && !compressed)) throw fail('lacks its scales or zeros');
    if (zeros && layout === 'int-quantized') throw asymmetric(codes.file, module);
    if (codes.shape.length !== 2 || scales.shape.length !== 2) throw fail('has codes or scales that are no matrix');
    if (!['f16', 'bf16', 'f32'].includes(scales.dtype)) throw fail(`has scales of ${scales.dtype}`);
    const [rows, columns] = codes.shape as [number, number];
    const packing = 32 / bits;
    const [outFeatures, inFeatures] =
      layout === 'awq'
        ? [columns * packing, rows]
        : compressed
          ? [rows, layout === 'int-quantized' ? columns : columns * packing]
          : [columns, Math.round(rows * packing)];
    const [scaleRows, scaleColumns] = scales.shape as [number, number];
    const [own, groups] = compressed ? [scaleRows, scaleColumns] : [scaleColumns, scaleRows];
    const zeroCount = Math.ceil((outFeatures * groups * bits) / 32);
    const misfit =
      own !== outFeatures ||
      groups === 0 ||
      codes.dtype !== (layout === 'int-quantized' ? 'i8' : 'i32') ||
      (zeros && (zeros.dtype !== 'i32' || zeros.shape.reduce((a, b) => a * b, 1) !== zeroCount)) ||
      (groupIndex && (groupIndex.dtype !== 'i32' || groupIndex.shape[0] !== inFeatures));
    if (misfit)
      throw fail(`has shapes that do not fit: codes [${codes.shape.join(', ')}], scales [${scales.shape.join(', ')}]`);
    for (const field of [fields.codes, fields.scales, fields.zeros, 'g_idx', 'weight_shape']) {
      out.delete(`${module}.${field}`);
    }
    out.set(`${module}.weight`, {
      ...codes,
      name: `${module}.weight`,
      dtype: 'f32',
      shape: [outFeatures, inFeatures],
      quantized: { layout, bits, groups, codes, scales, zeros, groupIndex },
    });
  }
  return out;
}

function asymmetric(path: string, module: string): Error {
  return formatErrors.FILE_UNSUPPORTED({
    path,
    reason: `the codes of layer ${quoted(module)} have zero points of their own`,
    remedy: 'Quantise its weights symmetrically, or use the model in bf16.',
  });
}

function schemeOf(path: string, config: Record<string, unknown>): Scheme {
  const unsupported = (reason: string) =>
    formatErrors.FILE_UNSUPPORTED({
      path,
      reason: `its quantization_config ${reason}`,
      remedy:
        'Use a GPTQ, AWQ (gemm), compressed-tensors (pack-quantized, int-quantized) or 4-bit bitsandbytes checkpoint, or the model in bf16.',
    });
  const checked = (bits: unknown, allowed: readonly number[]): number => {
    if (allowed.includes(bits as number)) return bits as number;
    throw unsupported(`says ${String(bits)} bits; known are ${allowed.join(', ')}`);
  };
  const method = config.quant_method;
  if (method === 'gptq') {
    const version = config.checkpoint_format ?? 'gptq';
    if (version !== 'gptq' && version !== 'gptq_v2') throw unsupported(`has the checkpoint_format ${String(version)}`);
    const allowed = [2, 3, 4, 8];
    const bits = checked(config.bits, allowed);
    // GPTQModel's own words for layers that differ: the first pattern that a name begins with.
    const rules = Object.entries((config.dynamic ?? {}) as Record<string, { bits?: unknown }>)
      .filter(([pattern]) => !pattern.startsWith('-:'))
      .map(([pattern, own]) => ({
        pattern: patternOf(pattern.replace(/^\+:/, ''), unsupported),
        bits: own.bits === undefined ? bits : checked(own.bits, allowed),
      }));
    return { layout: version, bitsOf: (module) => rules.find(({ pattern }) => pattern.test(module))?.bits ?? bits };
  }
  if (method === 'awq') {
    const version = String(config.version ?? 'gemm').toLowerCase();
    if (version !== 'gemm') throw unsupported(`has the version ${version}`);
    const bits = checked(config.bits, [4]);
    return { layout: 'awq', bitsOf: () => bits };
  }
  if (method === 'compressed-tensors') {
    const groups = Object.values((config.config_groups ?? {}) as Record<string, ConfigGroup>);
    const formats = new Set(groups.map(({ format }) => format ?? config.format));
    const [format] = config.format === 'mixed-precision' ? formats : [config.format];
    if ((format !== 'pack-quantized' && format !== 'int-quantized') || formats.size > 1) {
      throw unsupported(`has the format ${[...formats].join(', ')}`);
    }
    const rules = groups.map(({ targets = [], weights }) => ({
      bits: checked(weights?.num_bits, format === 'int-quantized' ? [8] : [4, 8]),
      // Modules by name or pattern come before those by class, as compressed-tensors matches them.
      named: targets.filter((target) => target !== 'Linear').map((target) => matcherOf(target, unsupported)),
      linear: targets.includes('Linear') || targets.length === 0,
    }));
    if (rules.length === 0) throw unsupported('has no config_groups');
    const other = (rules.find(({ linear }) => linear) ?? rules[0]!).bits;
    return {
      layout: format,
      bitsOf: (module) => rules.find(({ named }) => named.some((matches) => matches(module)))?.bits ?? other,
    };
  }
  throw unsupported(`has the quant_method ${String(method)}`);
}

/** One of compressed-tensors' config_groups, as far as reading needs it. */
interface ConfigGroup {
  readonly targets?: readonly string[];
  readonly weights?: { readonly num_bits?: unknown };
  readonly format?: unknown;
}

type Unsupported = (reason: string) => Error;

/** A pattern that must match from the beginning, as Python's `re.match`. */
function patternOf(text: string, unsupported: Unsupported): RegExp {
  try {
    return new RegExp(`^(?:${text})`);
  } catch {
    throw unsupported(`has the pattern ${text}, which is no regular expression`);
  }
}

function matcherOf(target: string, unsupported: Unsupported): (module: string) => boolean {
  if (!target.startsWith('re:')) return (module) => module === target;
  const pattern = patternOf(target.slice(3), unsupported);
  return (module) => pattern.test(module);
}

/** Reads a quantised weight from its files. Throws LF_ENGINE_FILE_CORRUPT when its groups are out of range. */
export function readQuantizedWeight(tensor: QuantizedTensor, shape: readonly number[]): QuantizedWeight {
  const { layout, bits, groups } = tensor;
  const [outFeatures, inFeatures] = shape as [number, number];
  const size = { outFeatures, inFeatures, bits, groups };
  const zeros = tensor.zeros && integers(tensor.zeros);
  const signed = layout === 'int-quantized';
  const packed = signed ? readSignedCodes(tensor) : integers(tensor.codes);
  const { codes, zeros: unpacked } = unpackWeight({ codes: packed, zeros }, layout, size);
  const stored = decodeScales(bytes(tensor.scales), tensor.scales.dtype as ScaleDType);
  const groupIndex = readGroupIndex(tensor);
  const byRow = signed || layout === 'pack-quantized';
  const scales = byRow ? stored : transposedScales(stored, groups, outFeatures);
  return { ...size, codes, scales, zeros: unpacked, groupIndex };
}

/** The group of each column [K], where files name it. Throws LF_ENGINE_FILE_CORRUPT when one is out of range. */
export function readGroupIndex({ groupIndex, groups, codes }: QuantizedTensor): Int32Array | undefined {
  const index = groupIndex && integers(groupIndex);
  if (index?.some((group) => group < 0 || group >= groups)) {
    throw formatErrors.FILE_CORRUPT({
      path: codes.file,
      reason: `tensor ${quoted(groupIndex!.name)} names groups beyond ${groups}`,
    });
  }
  return index;
}

/** The codes [N, K] of a weight that files have as signed bytes: int-quantized. */
export function readSignedCodes({ codes }: QuantizedTensor): Int8Array {
  const read = bytes(codes);
  return new Int8Array(read.buffer, read.byteOffset, read.byteLength);
}

/** The zeros [N, groups] of a quantised weight. */
export function readQuantizedZeros({ zeros, layout, bits, groups }: QuantizedTensor, outFeatures: number): Uint16Array {
  return unpackZeros(zeros && integers(zeros), layout, { outFeatures, bits, groups });
}

/** Whether groups are runs of neighbouring columns, as they are unless columns were quantised in another order. */
export function hasNaturalGroups({ groupIndex, groups }: QuantizedTensor, inFeatures: number): boolean {
  if (!groupIndex) return true;
  const size = Math.ceil(inFeatures / groups);
  return integers(groupIndex).every((group, k) => group === Math.floor(k / size));
}

function transposedScales(scales: Float32Array, groups: number, outFeatures: number): Float32Array {
  return scales.map((_, i) => scales[(i % groups) * outFeatures + Math.floor(i / groups)]!);
}

/** The values of a tensor of f32, f16 or bf16. */
export const readFloats = (entry: TensorEntry): Float32Array => decodeScales(bytes(entry), entry.dtype as ScaleDType);

function bytes(entry: TensorEntry): Buffer {
  using file = FileReader.open(entry.file, 'safetensors file');
  return file.read(entry.offset, entry.bytes);
}

function integers(entry: TensorEntry): Int32Array {
  const read = bytes(entry);
  return new Int32Array(read.buffer.slice(read.byteOffset, read.byteOffset + read.byteLength));
}
