import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { byteLength } from '../device/dtype.js';
import {
  blocksOfRows,
  dequantize,
  hasNaturalGroups,
  type QuantizedTensor,
  readFloats,
  readQuantizedWeight,
  readQuantizedZeros,
  readSignedCodes,
  rounded,
} from '../formats/index.js';
import type { TensorEntry } from '../formats/model-source.js';
import { fitsGroupCodes, groupCodes } from '../nn/codes/group-codes.js';
import type { WeightSource } from '../nn/parameter.js';
import { scope, unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';

/** Elements of a block of q4_z: groups are made of whole ones. */
const BLOCK = 32;

/**
 * A weight [N, K] that is quantised in its files: as blocks of Q8_0 where it has signed bytes whose rows have one scale, which
 * half precision holds exactly, and rows are whole blocks; as blocks of its own codes where they have 4 bits and groups of a
 * multiple of 32 neighbours whose scales half precision holds exactly, which kernels compute with as they are; else as f32.
 */
export function quantizedSource(device: Device, tensor: QuantizedTensor, shape: readonly number[]): WeightSource {
  if (tensor.layout === 'int-quantized') return signedSource(device, tensor, shape);
  const blocks = keepsCodes(tensor, shape);
  return {
    direct: false,
    blocks: () => (blocks() ? { dtype: 'q4_z', group: shape[1]! / tensor.groups } : undefined),
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
  let known: boolean | undefined;
  const fits = () => {
    known ??= tensor.groups === 1 && shape[1]! % BLOCK === 0 && hasHalfScales(tensor.scales);
    return known;
  };
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

/** Whether codes can be used as they are; looked up when it is first asked for, because files may have to be read. */
function keepsCodes(tensor: QuantizedTensor, [, columns]: readonly number[]): () => boolean {
  let known: boolean | undefined;
  return () => {
    known ??=
      tensor.bits === 4 &&
      columns! % tensor.groups === 0 &&
      (columns! / tensor.groups) % BLOCK === 0 &&
      tensor.codes.offset % 4 === 0 &&
      hasNaturalGroups(tensor, columns!) &&
      hasHalfScales(tensor.scales);
    return known;
  };
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
