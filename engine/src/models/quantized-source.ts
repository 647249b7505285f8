import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { byteLength } from '../device/dtype.js';
import {
  blocksOfRows,
  dequantize,
  hasNaturalGroups,
  type QuantizedTensor,
  readFloats,
  readGroupIndex,
  readQuantizedWeight,
  readQuantizedZeros,
  readSignedCodes,
  rounded,
} from '../formats/index.js';
import type { TensorEntry } from '../formats/model-source.js';
import { fitsGroupCodes, groupCodes } from '../nn/codes/group-codes.js';
import type { ReorderedSource, WeightSource } from '../nn/parameter.js';
import { scope, unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';

/** Elements of a block of q4_z: groups are made of whole ones. */
const BLOCK = 32;

/**
 * A weight [N, K] that is quantised in its files: as blocks of Q8_0 where it has signed bytes whose rows have one scale, which
 * half precision holds exactly, and rows are whole blocks; as blocks of its own codes where they have 4 bits and groups of a
 * multiple of 32 neighbours whose scales half precision holds exactly, which kernels compute with as they are; else as f32.
 * Groups of columns that are no neighbours (GPTQ's act-order) are, with the columns in another order.
 */
export function quantizedSource(device: Device, tensor: QuantizedTensor, shape: readonly number[]): WeightSource {
  if (tensor.layout === 'int-quantized') return signedSource(device, tensor, shape);
  const blocks = keepsCodes(tensor, shape);
  return {
    direct: false,
    blocks: () => (blocks() ? { dtype: 'q4_z', group: shape[1]! / tensor.groups } : undefined),
    reordered: lazily(() => reorderedBlocks(device, tensor, shape)),
    codes: () => {
      const weight = readQuantizedWeight(tensor, shape);
      return fitsGroupCodes(weight) ? groupCodes(device, weight) : undefined;
    },
    open: () => {
      const groupSize = blocks() ? shape[1]! / tensor.groups : undefined;
      if (groupSize !== undefined) return unscoped(() => openBlocks(device, tensor, shape, groupSize));
      return unscoped(() => Tensor.from(device, dequantize(readQuantizedWeight(tensor, shape)), shape));
    },
  };
}

/** A weight of signed bytes. */
function signedSource(device: Device, tensor: QuantizedTensor, shape: readonly number[]): WeightSource {
  const fits = lazily(() => tensor.groups === 1 && shape[1]! % BLOCK === 0 && hasHalfScales(tensor.scales));
  return {
    direct: false,
    blocks: () => (fits() ? { dtype: 'q8_0', group: 0 } : undefined),
    codes: () => groupCodes(device, readQuantizedWeight(tensor, shape)),
    open: () =>
      unscoped(() => {
        if (!fits()) return Tensor.from(device, dequantize(readQuantizedWeight(tensor, shape)), shape);
        const blocks = Tensor.empty(device, shape, 'q8_0');
        device.write(blocks, blocksOfRows(readSignedCodes(tensor), readFloats(tensor.scales)));
        return blocks;
      }),
  };
}

/** Looked up when it is first asked for, because files may have to be read. */
function lazily<T>(find: () => T): () => T {
  let known: { readonly value: T } | undefined;
  return () => {
    known ??= { value: find() };
    return known.value;
  };
}

/** Whether a tensor's codes, scales and groups are such as q4_z has them. */
const fitsBlocks = (tensor: QuantizedTensor, columns: number) =>
  tensor.bits === 4 &&
  columns % tensor.groups === 0 &&
  (columns / tensor.groups) % BLOCK === 0 &&
  hasHalfScales(tensor.scales);

/** Whether codes can be used as they are. */
const keepsCodes = (tensor: QuantizedTensor, [, columns]: readonly number[]) =>
  lazily(() => tensor.codes.offset % 4 === 0 && fitsBlocks(tensor, columns!) && hasNaturalGroups(tensor, columns!));

/** The weight with the columns of a group side by side, where they are not in the files. */
function reorderedBlocks(
  device: Device,
  tensor: QuantizedTensor,
  shape: readonly number[],
): ReorderedSource | undefined {
  const [rows, columns] = shape as [number, number];
  const { groups } = tensor;
  if (!tensor.groupIndex || !fitsBlocks(tensor, columns) || hasNaturalGroups(tensor, columns)) return undefined;
  const order = orderOfGroups(readGroupIndex(tensor)!, groups);
  if (!order) return undefined;
  const group = columns / groups;
  return {
    order,
    source: {
      direct: false,
      blocks: () => ({ dtype: 'q4_z', group }),
      open: () =>
        unscoped(() => {
          const { codes, scales, zeros } = readQuantizedWeight(tensor, shape);
          const dst = Tensor.empty(device, shape, 'q4_z', 'transient', group);
          scope(() => {
            const words = nibblesInOrder(codes, order);
            commands.blocksOfCodes(
              device.recorder,
              { order: 'alongK', group },
              {
                codes: Tensor.from(device, words, [rows, columns / 8]),
                scales: Tensor.from(device, scales, [rows, groups]),
                zeros: Tensor.from(device, Uint8Array.from(zeros), [rows, groups]),
                dst,
              },
            );
          });
          return dst;
        }),
    },
  };
}

/** The columns [K] group by group; undefined unless all groups are of one size. */
function orderOfGroups(groupIndex: Int32Array, groups: number): Int32Array | undefined {
  const size = groupIndex.length / groups;
  const order = new Int32Array(groupIndex.length);
  const filled = new Int32Array(groups);
  for (const [column, group] of groupIndex.entries()) {
    const place = filled[group]!;
    if (place === size) return undefined;
    order[group * size + place] = column;
    filled[group] = place + 1;
  }
  return order;
}

/** Codes [N, K] with the columns in that order, eight of 4 bits a word. */
function nibblesInOrder(codes: Uint8Array, order: Int32Array): Int32Array {
  const words = new Int32Array(codes.length / 8);
  const columns = order.length;
  for (let at = 0; at < codes.length; at++) {
    const row = Math.floor(at / columns);
    words[at >> 3]! |= codes[row * columns + order[at % columns]!]! << (4 * (at % 8));
  }
  return words;
}

/** Whether half precision, in which blocks have their scales, holds those of a tensor exactly. */
function hasHalfScales(scales: TensorEntry): boolean {
  if (scales.dtype === 'f16') return true;
  return readFloats(scales).every((scale) => scale === rounded(scale, 'f16'));
}

function openBlocks(device: Device, tensor: QuantizedTensor, shape: readonly number[], groupSize: number): Tensor {
  const { layout, groups } = tensor;
  const [rows, columns] = shape as [number, number];
  const dst = Tensor.empty(device, shape, 'q4_z', 'transient', groupSize);
  scope(() => {
    const codes = mapped(device, tensor.codes);
    const scales = mapped(device, tensor.scales);
    const across = layout !== 'pack-quantized';
    const words = layout === 'awq' ? [rows / 8, columns] : [rows, columns / 8];
    commands.blocksOfCodes(
      device.recorder,
      { order: layout === 'awq' ? 'awq' : 'alongK', group: groupSize },
      {
        codes: across ? codes.view(words, [1, words[0]!]) : codes,
        scales: across ? scales.view([rows, groups], [1, rows]) : scales,
        zeros: tensor.zeros && Tensor.from(device, Uint8Array.from(readQuantizedZeros(tensor, rows)), [rows, groups]),
        dst,
      },
    );
  });
  return dst;
}

function mapped(device: Device, entry: TensorEntry): Tensor {
  const allocation = device.mapFile(entry.file, entry.offset, byteLength(entry.dtype, entry.shape));
  return Tensor.over(device, allocation, entry.shape, entry.dtype);
}
