import * as commands from '../../device/commands/index.js';
import type { Device } from '../../device/device.js';
import type { TableQuantizedWeight } from '../../formats/index.js';
import { Tensor } from '../../tensor/tensor.js';
import { dynamicMap } from './dynamic-map.js';

/** Values of the 4-bit NormalFloat (Dettmers et al. 2023, QLoRA, appendix E), as bitsandbytes has them. */
export const normalFloat4 = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** Elements that share a scale, and scales that share one. */
const block = 64;
const nestedBlock = 256;

/**
 * NF4 with double quantisation of a weight [N, K], float or of a block format, as bitsandbytes stores it: 4.13 bits an
 * element. The weight stays the caller's.
 */
export async function quantizeNf4(device: Device, weight: Tensor): Promise<TableQuantizedWeight> {
  const { elements, shape } = weight;
  const blocks = Math.ceil(elements / block);
  using plain = Tensor.empty(device, shape, 'f32');
  commands.copy(device.recorder, weight, plain);
  using table = Tensor.from(device, normalFloat4);
  using codes = Tensor.empty(device, [Math.ceil(elements / 2)], 'u8');
  using absmax = Tensor.empty(device, [blocks], 'f32');
  commands.quantizeTable(device.recorder, { block }, { x: plain, table, codes, absmax });
  const [packed, scales] = await Promise.all([device.read(codes, codes.bytes), absmax.floats()]);
  return { codes: packed, table: normalFloat4, block, ...nestScales(scales) };
}

/** The second quantisation: scales less their mean, in 8 bits by bitsandbytes' dynamic map. */
function nestScales(scales: Float32Array): Pick<TableQuantizedWeight, 'scales' | 'nested'> {
  const offset = Math.fround(scales.reduce((sum, scale) => sum + scale, 0) / scales.length);
  const map = dynamicMap(true);
  const nestedScales = new Float32Array(Math.ceil(scales.length / nestedBlock));
  const codes = new Uint8Array(scales.length);
  for (let b = 0; b < nestedScales.length; b++) {
    const part = scales.slice(b * nestedBlock, (b + 1) * nestedBlock).map((scale) => scale - offset);
    const largest = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    nestedScales[b] = largest;
    part.forEach((value, i) => {
      codes[b * nestedBlock + i] = nearest(map, largest > 0 ? Math.fround(value / largest) : 0);
    });
  }
  return { scales: codes, nested: { map, scales: nestedScales, block: nestedBlock, offset } };
}

/** Index of the value of an ascending map that is nearest, the lower one on a tie. */
function nearest(map: Float32Array, value: number): number {
  let [low, high] = [0, map.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (((map[middle] as number) + (map[middle + 1] as number)) / 2 < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
