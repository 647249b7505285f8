import * as commands from '../../device/commands/index.js';
import type { Device } from '../../device/device.js';
import type { TableQuantizedWeight } from '../../formats/index.js';
import { unscoped } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import type { FrozenCodes } from './frozen-codes.js';

/** A weight in codes of 4 bits whose meaning is a table, as bitsandbytes stores it. */
export function tableCodes(device: Device, weight: TableQuantizedWeight): FrozenCodes {
  const kept = <T extends Uint8Array | Float32Array>(data: T) =>
    unscoped(() => Tensor.from(device, data, [data.length], undefined, 'persistent'));
  const [codes, table, scale] = [kept(weight.codes), kept(weight.table), kept(weight.scales)];
  const nested = weight.nested && {
    ...weight.nested,
    map: kept(weight.nested.map),
    scale: kept(weight.nested.scales),
  };
  const tensors = [codes, table, scale, ...(nested ? [nested.map, nested.scale] : [])];
  const { block } = weight;
  return {
    bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    decode: (out) =>
      commands.dequantize(device.recorder, { bits: 4, codes, table, block, scale, ...(nested ? { nested } : {}) }, out),
    [Symbol.dispose]: () => {
      for (const tensor of tensors) tensor.dispose();
    },
  };
}
