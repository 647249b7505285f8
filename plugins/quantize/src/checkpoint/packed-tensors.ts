import {
  bytesOf,
  encodeScales,
  packWeight,
  type QuantizedLayout,
  type QuantizedWeight,
  type ScaleDType,
  type TensorToWrite,
} from '@largeforge/engine';

/** The tensors of one layer as its format has them. */
export function packedTensors(
  module: string,
  weight: QuantizedWeight,
  { layout, symmetric, scaleDType }: { layout: QuantizedLayout; symmetric: boolean; scaleDType: ScaleDType },
): TensorToWrite[] {
  const { outFeatures: n, inFeatures: k, groups, bits } = weight;
  const { codes, zeros } = packWeight(weight, layout);
  const entry = (field: string, dtype: TensorToWrite['dtype'], shape: readonly number[], bytes: Uint8Array) => ({
    name: `${module}.${field}`,
    dtype,
    shape,
    bytes: () => bytes,
  });
  const scales = (values: Float32Array) => encodeScales(values, scaleDType);
  const byGroup = () => {
    const turned = new Float32Array(n * groups);
    for (let row = 0; row < n; row++) {
      for (let group = 0; group < groups; group++) turned[group * n + row] = weight.scales[row * groups + group]!;
    }
    return turned;
  };
  switch (layout) {
    case 'gptq':
    case 'gptq_v2': {
      const index = weight.groupIndex ?? Int32Array.from({ length: k }, (_, i) => Math.floor((i * groups) / k));
      return [
        entry('qweight', 'i32', [(k * bits) / 32, n], bytesOf(codes)),
        entry('qzeros', 'i32', [groups, (n * bits) / 32], bytesOf(zeros!)),
        entry('scales', scaleDType, [groups, n], scales(byGroup())),
        entry('g_idx', 'i32', [k], bytesOf(index)),
      ];
    }
    case 'awq':
      return [
        entry('qweight', 'i32', [k, n / 8], bytesOf(codes)),
        entry('qzeros', 'i32', [groups, n / 8], bytesOf(zeros!)),
        entry('scales', scaleDType, [groups, n], scales(byGroup())),
      ];
    case 'int-quantized':
      return [
        entry('weight', 'i8', [n, k], bytesOf(codes)),
        entry('weight_scale', scaleDType, [n, groups], scales(weight.scales)),
      ];
    case 'pack-quantized':
      return [
        entry('weight_packed', 'i32', [n, (k * bits) / 32], bytesOf(codes)),
        entry('weight_scale', scaleDType, [n, groups], scales(weight.scales)),
        entry('weight_shape', 'i64', [2], bytesOf(BigInt64Array.of(BigInt(n), BigInt(k)))),
        // Always written for an asymmetric scheme: readers expect it of every layer.
        ...(symmetric
          ? []
          : [
              entry(
                'weight_zero_point',
                'i32',
                [(n * bits) / 32, groups],
                bytesOf(zeros ?? middleZeros(n, groups, bits)),
              ),
            ]),
      ];
  }
}

/** Zero points that are half of the range everywhere, packed. */
function middleZeros(n: number, groups: number, bits: number): Int32Array {
  let word = 0;
  for (let bit = bits - 1; bit < 32; bit += bits) word |= 1 << bit;
  return new Int32Array(((n * bits) / 32) * groups).fill(word);
}
