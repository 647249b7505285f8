import { z } from 'zod';
import { formatErrors, quoted } from '../errors.js';
import { FileReader } from '../file-reader.js';
import type { TensorEntry } from '../model-source.js';

/** A weight that bitsandbytes quantised to 4 bits, as it lies in files: several tensors. */
export interface TableQuantizedTensor {
  readonly codes: TensorEntry;
  /** What the 16 codes mean. */
  readonly table: TensorEntry;
  /** Of blocks of `block` elements: f32, or codes of 8 bits when `nested` is there. */
  readonly scales: TensorEntry;
  readonly block: number;
  readonly nested?: {
    readonly map: TensorEntry;
    readonly scales: TensorEntry;
    readonly block: number;
    readonly offset: number;
  };
}

/** The values of such a weight, read: element i of the weight is table[code i] * scale of block i / `block`. */
export interface TableQuantizedWeight {
  /** Two elements a byte, the first in the high half. */
  readonly codes: Uint8Array;
  readonly table: Float32Array;
  readonly block: number;
  readonly scales: Float32Array | Uint8Array;
  /** Scale i is map[scales i] * nested scale of block i / `block` + offset. */
  readonly nested?: {
    readonly map: Float32Array;
    readonly scales: Float32Array;
    readonly block: number;
    readonly offset: number;
  };
}

/** What bitsandbytes says of a weight beside its tensors, in JSON. */
const quantState = z.looseObject({
  blocksize: z.int().positive(),
  shape: z.tuple([z.int().positive(), z.int().positive()]),
  nested_blocksize: z.int().positive().optional(),
  nested_offset: z.number().optional(),
});

const stateName = /^(.+\.weight)\.quant_state\.bitsandbytes__(?:nf4|fp4)$/;

/**
 * The tensors of a checkpoint with those that make up a 4-bit weight of bitsandbytes as that weight [N, K], f32.
 * @throws LF_ENGINE_FILE_CORRUPT for a weight that lacks a tensor, or whose shapes contradict each other
 */
export function bitsandbytesTensors(tensors: ReadonlyMap<string, TensorEntry>): ReadonlyMap<string, TensorEntry> {
  const out = new Map(tensors);
  for (const [name, state] of tensors) {
    const weight = stateName.exec(name)?.[1];
    if (weight === undefined) continue;
    const fail = (reason: string) =>
      formatErrors.FILE_CORRUPT({ path: state.file, reason: `the 4-bit weight ${quoted(weight)} ${reason}` });
    const part = (suffix: string) => tensors.get(`${weight}${suffix}`);
    const parsed = quantState.safeParse(jsonOf(state));
    if (!parsed.success) throw fail('has a state that is not readable');
    const { blocksize: block, shape, nested_blocksize: nestedBlock, nested_offset: offset = 0 } = parsed.data;
    const [codes, table, scales] = [part(''), part('.quant_map'), part('.absmax')];
    const [map, nestedScales] = [part('.nested_quant_map'), part('.nested_absmax')];
    if (!codes || !table || !scales) throw fail('lacks its codes, its map or its scales');
    const elements = shape[0] * shape[1];
    const blocks = Math.ceil(elements / block);
    const nested =
      map && nestedScales && nestedBlock !== undefined
        ? { map, scales: nestedScales, block: nestedBlock, offset }
        : undefined;
    const fits =
      holds(codes, 'u8', Math.ceil(elements / 2)) &&
      holds(table, 'f32', 16) &&
      holds(scales, nested ? 'u8' : 'f32', blocks) &&
      (!nested || (holds(nested.map, 'f32', 256) && holds(nested.scales, 'f32', Math.ceil(blocks / nested.block))));
    if (!fits) throw fail('has tensors whose types or shapes do not fit');
    for (const suffix of ['.absmax', '.quant_map', '.nested_absmax', '.nested_quant_map']) out.delete(weight + suffix);
    out.delete(name);
    const tableQuantized = { codes, table, scales, block, ...(nested ? { nested } : {}) };
    out.set(weight, { ...codes, dtype: 'f32', shape, tableQuantized });
  }
  return out;
}

/** Reads such a weight from its files. */
export function readTableQuantized({
  codes,
  table,
  scales,
  block,
  nested,
}: TableQuantizedTensor): TableQuantizedWeight {
  return {
    codes: bytesOf(codes),
    table: floatsOf(table),
    block,
    scales: nested ? bytesOf(scales) : floatsOf(scales),
    ...(nested ? { nested: { ...nested, map: floatsOf(nested.map), scales: floatsOf(nested.scales) } } : {}),
  };
}

function holds({ dtype, shape }: TensorEntry, expected: TensorEntry['dtype'], elements: number): boolean {
  return dtype === expected && shape.reduce((a, b) => a * b, 1) === elements;
}

function jsonOf(entry: TensorEntry): unknown {
  try {
    return JSON.parse(Buffer.from(bytesOf(entry)).toString('utf8'));
  } catch {
    return undefined;
  }
}

function bytesOf(entry: TensorEntry): Uint8Array {
  using file = FileReader.open(entry.file, 'safetensors file');
  return Uint8Array.from(file.read(entry.offset, entry.bytes));
}

function floatsOf(entry: TensorEntry): Float32Array {
  return new Float32Array(bytesOf(entry).buffer);
}
