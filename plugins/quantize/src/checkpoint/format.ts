import {
  bytesOf,
  encodeScales,
  packWeight,
  type QuantizedLayout,
  type QuantizedWeight,
  type ScaleDType,
  type TensorToWrite,
} from '@largeforge/engine';
import { quantizeErrors } from '../errors.js';

/** Formats that a quantised model can be written in. GPTQ is v1 when symmetric, else v2. */
export const checkpointFormats = ['gptq', 'awq', 'compressed-tensors'] as const;
export type CheckpointFormat = (typeof checkpointFormats)[number];

/** What every quantised layer of a checkpoint has in common. */
export interface QuantizationScheme {
  readonly format: CheckpointFormat;
  readonly bits: number;
  readonly groupSize: number;
  readonly symmetric: boolean;
  /** Of the scales in the files. */
  readonly scaleDType: ScaleDType;
}

/** The layout that a scheme is stored in. Throws LF_QUANTIZE_FORMAT when the format cannot hold it. */
export function layoutOf({
  format,
  bits,
  symmetric,
}: Omit<QuantizationScheme, 'scaleDType' | 'groupSize'>): QuantizedLayout {
  const fail = (reason: string) => quantizeErrors.LF_QUANTIZE_FORMAT({ reason });
  switch (format) {
    case 'gptq':
      return symmetric ? 'gptq' : 'gptq_v2';
    case 'awq':
      if (bits !== 4) throw fail(`the format awq holds 4 bits, not ${bits}; compressed-tensors holds 4 and 8`);
      return 'awq';
    case 'compressed-tensors':
      if (bits !== 4 && bits !== 8) {
        throw fail(`the format compressed-tensors holds 4 and 8 bits, not ${bits}; gptq holds 2, 3, 4 and 8`);
      }
      return 'pack-quantized';
  }
}

/** What scales are stored as: GPTQ and AWQ have f16, compressed-tensors the precision of the model. */
export function scaleDTypeOf(format: CheckpointFormat, modelDType: ScaleDType): ScaleDType {
  return format === 'compressed-tensors' ? modelDType : 'f16';
}

/** The tensors of one layer as its format has them. */
export function packedTensors(module: string, weight: QuantizedWeight, scheme: QuantizationScheme): TensorToWrite[] {
  const layout = layoutOf(scheme);
  const { outFeatures: n, inFeatures: k, groups, bits } = weight;
  const { codes, zeros } = packWeight(weight, layout);
  const entry = (field: string, dtype: TensorToWrite['dtype'], shape: readonly number[], bytes: Uint8Array) => ({
    name: `${module}.${field}`,
    dtype,
    shape,
    bytes: () => bytes,
  });
  const scales = (values: Float32Array) => encodeScales(values, scheme.scaleDType);
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
        entry('scales', scheme.scaleDType, [groups, n], scales(byGroup())),
        entry('g_idx', 'i32', [k], bytesOf(index)),
      ];
    }
    case 'awq':
      return [
        entry('qweight', 'i32', [k, n / 8], bytesOf(codes)),
        entry('qzeros', 'i32', [groups, n / 8], bytesOf(zeros!)),
        entry('scales', scheme.scaleDType, [groups, n], scales(byGroup())),
      ];
    case 'pack-quantized':
      return [
        entry('weight_packed', 'i32', [n, (k * bits) / 32], bytesOf(codes)),
        entry('weight_scale', scheme.scaleDType, [n, groups], scales(weight.scales)),
        entry('weight_shape', 'i64', [2], bytesOf(BigInt64Array.of(BigInt(n), BigInt(k)))),
        // Always written for an asymmetric scheme: readers expect it of every layer.
        ...(scheme.symmetric
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

/** `quantization_config` of config.json. */
export function quantizationConfig(scheme: QuantizationScheme, ignored: readonly string[]): Record<string, unknown> {
  const { format, bits, groupSize, symmetric } = scheme;
  switch (format) {
    case 'gptq':
      return {
        bits,
        group_size: groupSize,
        // Groups are runs of columns, in whatever order these were quantised.
        desc_act: false,
        sym: symmetric,
        lm_head: false,
        quant_method: 'gptq',
        checkpoint_format: symmetric ? 'gptq' : 'gptq_v2',
        pack_dtype: 'int32',
        meta: { quantizer: ['largeforge'] },
      };
    case 'awq':
      return {
        quant_method: 'awq',
        zero_point: !symmetric,
        group_size: groupSize,
        bits,
        version: 'gemm',
        modules_to_not_convert: null,
      };
    case 'compressed-tensors':
      return {
        quant_method: 'compressed-tensors',
        format: 'pack-quantized',
        quantization_status: 'compressed',
        ignore: ignored,
        config_groups: {
          group_0: {
            targets: ['Linear'],
            weights: {
              num_bits: bits,
              type: 'int',
              symmetric,
              strategy: 'group',
              group_size: groupSize,
              dynamic: false,
            },
          },
        },
      };
  }
}

/** Which loaders are known to take a checkpoint of a scheme. */
export function knownLoaders({
  format,
  bits,
  symmetric,
}: Pick<QuantizationScheme, 'format' | 'bits' | 'symmetric'>): string {
  switch (format) {
    case 'gptq':
      return symmetric && (bits === 4 || bits === 8)
        ? 'transformers (optimum, gptqmodel), vLLM, largeforge'
        : 'transformers (optimum, gptqmodel), largeforge; not vLLM';
    case 'awq':
      return 'transformers (gptqmodel), vLLM, largeforge';
    case 'compressed-tensors':
      return 'transformers (compressed-tensors), vLLM, largeforge';
  }
}
