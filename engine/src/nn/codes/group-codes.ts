import * as commands from '../../device/commands/index.js';
import type { Device } from '../../device/device.js';
import type { QuantizedWeight } from '../../formats/index.js';
import { unscoped } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import type { FrozenCodes } from './frozen-codes.js';

/** Whether `groupCodes` can keep a weight: zeros must fit into a byte. */
export function fitsGroupCodes({ zeros }: QuantizedWeight): boolean {
  return zeros.every((zero) => zero < 256);
}

/** A weight of whole numbers with scales and zeros by group, as AWQ and GPTQ make them: in 4 bits an element, or 8. */
export function groupCodes(device: Device, weight: QuantizedWeight): FrozenCodes {
  const { outFeatures, inFeatures, groups, codes: whole, scales, zeros, groupIndex } = weight;
  const bits = weight.bits > 4 ? 8 : 4;
  const kept = <T extends Uint8Array | Float32Array | Int32Array>(data: T, shape: readonly number[]) =>
    unscoped(() => Tensor.from(device, data, shape, undefined, 'persistent'));
  const packed = bits === 8 ? whole : packNibbles(whole);
  const codes = kept(packed, [packed.length]);
  const scale = kept(scales, [outFeatures, groups]);
  const zero = kept(Uint8Array.from(zeros), [outFeatures, groups]);
  const index = groupIndex && kept(groupIndex, [inFeatures]);
  const tensors = [codes, scale, zero, ...(index ? [index] : [])];
  return {
    bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    decode: (out) =>
      commands.dequantize(device.recorder, { bits, codes, scale, zero, ...(index ? { groupIndex: index } : {}) }, out),
    [Symbol.dispose]: () => {
      for (const tensor of tensors) tensor.dispose();
    },
  };
}

/** Two codes a byte, the first in the high half. */
function packNibbles(codes: Uint8Array): Uint8Array {
  return Uint8Array.from(
    { length: Math.ceil(codes.length / 2) },
    (_, i) => ((codes[2 * i] as number) << 4) | (codes[2 * i + 1] ?? 0),
  );
}
