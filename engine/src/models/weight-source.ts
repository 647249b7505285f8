import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { byteLength, isBlockFormat } from '../device/dtype.js';
import { quantizeQ8, readFloats, readTableQuantized, type TableQuantizedTensor } from '../formats/index.js';
import type { TensorEntry } from '../formats/model-source.js';
import { tableCodes } from '../nn/codes/table-codes.js';
import type { WeightSource } from '../nn/parameter.js';
import { scope, unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { quantizedSource } from './quantized-source.js';

/** A tensor of a file, mapped, and changed as its transform says. */
export function fileSource(device: Device, stored: TensorEntry): WeightSource {
  const { transform, heads = 1, quantized, tableQuantized } = stored;
  if (tableQuantized) return tableSource(device, tableQuantized, stored.shape);
  if (quantized) return quantizedSource(device, quantized, stored.shape);
  const map = (): Tensor =>
    unscoped(() => {
      const allocation = device.mapFile(stored.file, stored.offset, byteLength(stored.dtype, stored.shape));
      return Tensor.over(device, allocation, stored.shape, stored.dtype);
    });
  const blocks = isBlockFormat(stored.dtype) ? () => ({ dtype: stored.dtype, group: 0 }) : undefined;
  switch (transform) {
    case 'unpermute-rope':
      return { ...derived(map, (mapped) => unpermuteRope(mapped, heads)), blocks };
    case 'stacked-heads':
      return { ...derived(map, (mapped) => interleaveHeads(mapped, heads)), blocks };
    case 'plus-one':
      return derived(map, minusOne);
    default:
      return { direct: true, open: map, blocks };
  }
}

/** A matrix of a file in GGUF's Q8_0, rounded to it when it is opened; undefined where its rows are no whole blocks. */
export function eightBitSource(device: Device, stored: TensorEntry): WeightSource | undefined {
  const { dtype, shape, transform, quantized, tableQuantized } = stored;
  const floats = dtype === 'f32' || dtype === 'f16' || dtype === 'bf16';
  if (!floats || transform || quantized || tableQuantized || shape.length !== 2 || shape[1]! % 32 !== 0)
    return undefined;
  return {
    direct: false,
    blocks: () => ({ dtype: 'q8_0', group: 0 }),
    open: () =>
      unscoped(() => {
        const blocks = Tensor.empty(device, shape, 'q8_0');
        device.write(blocks, quantizeQ8(readFloats(stored)));
        return blocks;
      }),
  };
}

/** A 4-bit weight of bitsandbytes, as f32. */
function tableSource(device: Device, tensor: TableQuantizedTensor, shape: readonly number[]): WeightSource {
  const codes = () => tableCodes(device, readTableQuantized(tensor));
  return {
    direct: false,
    open: () => {
      using decoding = codes();
      const values = unscoped(() => Tensor.empty(device, shape, 'f32'));
      decoding.decode(values);
      return values;
    },
    codes,
  };
}

/** The values of a source that has [columns, rows], as [rows, columns]. */
export function transposedSource(source: WeightSource): WeightSource {
  return derived(() => source.open(), transpose);
}

/** Matrices of files, one under the other: in their own type where that is one and the same, else in f32. */
export function stackSource(
  device: Device,
  shape: readonly number[],
  stored: readonly (readonly TensorEntry[])[],
): WeightSource {
  const types = new Set(stored.flat().map(({ dtype }) => dtype));
  const [only = 'f32'] = types;
  const dtype = types.size > 1 || isBlockFormat(only) || only === 'f64' ? 'f32' : only;
  return {
    direct: false,
    open: () => {
      // Large, and kept as it is where it has the right type already.
      const out = Tensor.empty(device, shape, dtype, 'persistent');
      stored.forEach((matrix, e) => {
        matrix.forEach((part, i) => {
          const rows = shape[1]! / matrix.length;
          scope(() => {
            const place = out.narrow(0, e, 1).narrow(1, i * rows, rows);
            using source = fileSource(device, part).open();
            commands.copy(device.recorder, source, place.view([rows, shape[2]!], [shape[2]!, 1]));
          });
        });
      });
      return out;
    },
  };
}

/** A new tensor [columns, rows] of one [rows, columns], which stays the caller's. */
export function transpose(matrix: Tensor): Tensor {
  const [rows, columns] = matrix.shape as [number, number];
  return rearranged(matrix, [columns, rows], [columns, rows], [1, columns]);
}

/** A source whose values are made of others. */
function derived(open: () => Tensor, make: (stored: Tensor) => Tensor): WeightSource {
  return {
    direct: false,
    open: () => {
      using stored = open();
      return unscoped(() => make(stored));
    },
  };
}

/** Rows of `stored` in the order in which a view of that shape and these strides, both in rows, has them; in its type. */
function rearrangedRows(stored: Tensor, shape: readonly number[], strides: readonly number[]): Tensor {
  const { device, dtype } = stored;
  const rows = stored.shape[0]!;
  const columns = stored.elements / rows;
  if (!isBlockFormat(dtype)) {
    return rearranged(stored, stored.shape, [...shape, columns], [...strides.map((stride) => stride * columns), 1]);
  }
  // A row of blocks moves as bytes.
  const bytes = byteLength(dtype, [columns]);
  const out = Tensor.empty(device, stored.shape, dtype);
  scope(() =>
    commands.copy(
      device.recorder,
      stored.asBytes().view([...shape, bytes], [...strides.map((stride) => stride * bytes), 1]),
      out.asBytes().reshape(...shape, bytes),
    ),
  );
  return out;
}

/** Elements of `stored` in the order in which a view of that shape and these strides has them, as a tensor of `shape`. */
function rearranged(
  stored: Tensor,
  shape: readonly number[],
  viewShape: readonly number[],
  strides: readonly number[],
): Tensor {
  const { device } = stored;
  const blocks = isBlockFormat(stored.dtype);
  const out = Tensor.empty(device, shape, blocks ? 'f32' : stored.dtype);
  scope(() => {
    let plain = stored;
    if (blocks) {
      plain = Tensor.empty(device, stored.shape, 'f32');
      commands.copy(device.recorder, stored, plain);
    }
    commands.copy(device.recorder, plain.view(viewShape, strides), out.reshape(...viewShape));
  });
  return out;
}

/** Puts rows (2i, 2i + 1) of each head to (i, i + half). GGUF stores llama's queries and keys the other way round. */
function unpermuteRope(stored: Tensor, heads: number): Tensor {
  const half = stored.shape[0]! / heads / 2;
  return rearrangedRows(stored, [heads, 2, half], [2 * half, 1, 2]);
}

/** Puts query, key and value of each head together. GGUF stores those of GPT-NeoX one after the other. */
function interleaveHeads(stored: Tensor, heads: number): Tensor {
  const one = stored.shape[0]! / heads / 3;
  return rearrangedRows(stored, [heads, 3, one], [one, heads * one, 1]);
}

/** GGUF adds 1 to Gemma's norm weights, so that they need no offset. */
function minusOne(stored: Tensor): Tensor {
  const { device, shape } = stored;
  const out = Tensor.empty(device, shape, 'f32');
  scope(() => commands.binary(device.recorder, 'sub', stored, Tensor.full(device, shape, 1), out));
  return out;
}
