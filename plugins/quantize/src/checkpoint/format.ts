import type { QuantizedLayout, ScaleDType } from '@largeforge/engine';
import { quantizeErrors } from '../errors.js';
import { type CheckpointFormat, type LayerScheme, layerSchemes, type QuantizationScheme } from './scheme.js';

/** The layout that a scheme is stored in. Throws LF_QUANTIZE_FORMAT when the format cannot hold it. */
export function layoutOf(scheme: Omit<QuantizationScheme, 'scaleDType'>): QuantizedLayout {
  const fail = (reason: string) => quantizeErrors.LF_QUANTIZE_FORMAT({ reason });
  const { format, ordered, head, others, groupSize } = scheme;
  const all = layerSchemes(scheme as QuantizationScheme);
  if (format !== 'gptq' && ordered) {
    throw fail(`the format ${format} has groups of columns as they lie; act-order without static groups needs gptq`);
  }
  switch (format) {
    case 'gptq':
      return all.every(({ symmetric }) => symmetric) ? 'gptq' : 'gptq_v2';
    case 'awq': {
      const wrong = all.find(({ bits }) => bits !== 4);
      if (wrong) {
        throw fail(`the format awq holds 4 bits, not ${wrong.bits}; compressed-tensors holds 4 and 8`);
      }
      if (head) throw fail('loaders of the format awq expect a head that is not quantised');
      if ([...others.values()].some((other) => other.groupSize !== groupSize)) {
        throw fail('the format awq has one group size for all layers; gptq and compressed-tensors can have several');
      }
      return 'awq';
    }
    case 'compressed-tensors': {
      if (scheme.dynamicInputs) return 'int-quantized';
      const wrong = all.find(({ bits }) => bits !== 4 && bits !== 8);
      if (wrong) {
        throw fail(`the format compressed-tensors holds 4 and 8 bits, not ${wrong.bits}; gptq holds 2, 3, 4 and 8`);
      }
      return 'pack-quantized';
    }
  }
}

/** What scales are stored as: GPTQ and AWQ have f16, compressed-tensors the precision of the model. */
export function scaleDTypeOf(format: CheckpointFormat, modelDType: ScaleDType): ScaleDType {
  return format === 'compressed-tensors' ? modelDType : 'f16';
}

/** `quantization_config` of config.json. */
export function quantizationConfig(scheme: QuantizationScheme): Record<string, unknown> {
  const { format, bits, groupSize, symmetric, ordered, head, others, kept } = scheme;
  switch (format) {
    case 'gptq': {
      const exactly = (name: string) => `^${name.replaceAll('.', '\\.')}$`;
      const dynamic = Object.fromEntries([
        ...[...others].map(([name, own]) => [
          `+:${exactly(name)}`,
          { bits: own.bits, group_size: own.groupSize, sym: own.symmetric },
        ]),
        ...kept.map((name) => [`-:${exactly(name)}`, {}]),
      ]);
      return {
        bits,
        group_size: groupSize,
        desc_act: ordered,
        sym: symmetric,
        lm_head: head,
        quant_method: 'gptq',
        checkpoint_format: layoutOf(scheme),
        pack_dtype: 'int32',
        ...(Object.keys(dynamic).length > 0 && { dynamic }),
        meta: { quantizer: ['largeforge'] },
      };
    }
    case 'awq':
      return {
        quant_method: 'awq',
        zero_point: !symmetric,
        group_size: groupSize,
        bits,
        version: 'gemm',
        modules_to_not_convert: kept.length > 0 ? ['lm_head', ...kept] : null,
      };
    case 'compressed-tensors': {
      const groups = new Map<string, { readonly own: LayerScheme; readonly targets: string[] }>();
      groups.set(JSON.stringify(weightsOf(scheme)), { own: scheme, targets: ['Linear'] });
      for (const [name, own] of others) {
        const key = JSON.stringify(weightsOf(own));
        const known = groups.get(key);
        if (known) known.targets.push(name);
        else groups.set(key, { own, targets: [name] });
      }
      return {
        quant_method: 'compressed-tensors',
        format: layoutOf(scheme),
        quantization_status: 'compressed',
        ignore: [...(head ? [] : ['lm_head']), ...kept],
        config_groups: Object.fromEntries(
          [...groups.values()].map(({ own, targets }, i) => [
            `group_${i}`,
            { targets, weights: weightsOf(own), ...(scheme.dynamicInputs && { input_activations: tokenInputs }) },
          ]),
        ),
      };
    }
  }
}

/** compressed-tensors' words for inputs in 8 bits, each token with a scale of its own, found when it comes. */
const tokenInputs = { num_bits: 8, type: 'int', symmetric: true, strategy: 'token', dynamic: true } as const;

/** compressed-tensors' words for the weights of a layer. */
function weightsOf({ bits, symmetric, groupSize }: LayerScheme): Record<string, unknown> {
  if (groupSize === 0) return { num_bits: bits, type: 'int', symmetric, strategy: 'channel', dynamic: false };
  return { num_bits: bits, type: 'int', symmetric, strategy: 'group', group_size: groupSize, dynamic: false };
}

/** Which loaders are known to take a checkpoint of a scheme. */
export function knownLoaders(scheme: QuantizationScheme): string {
  switch (scheme.format) {
    case 'gptq': {
      if (scheme.others.size > 0 || scheme.kept.length > 0) return 'GPTQModel, vLLM, largeforge';
      return scheme.symmetric && (scheme.bits === 4 || scheme.bits === 8)
        ? 'transformers (optimum, gptqmodel), vLLM, largeforge'
        : 'transformers (optimum, gptqmodel), largeforge; not vLLM';
    }
    case 'awq':
      return 'transformers (gptqmodel), vLLM, largeforge';
    case 'compressed-tensors':
      return 'transformers (compressed-tensors), vLLM, largeforge';
  }
}
