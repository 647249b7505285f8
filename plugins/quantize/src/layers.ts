import type { CausalLanguageModel, Linear } from '@largeforge/engine';
import { quantizeErrors } from './errors.js';

const GROUP_SIZES = [128, 64, 32] as const;

/** The linear layers of a layer of a model, in order. */
export function linearsOf({ config, linears }: CausalLanguageModel, layer: number): Linear[] {
  const prefix = `${config.modules.layers}.${layer}.`;
  return [...linears.values()].filter(({ name }) => name.startsWith(prefix));
}

/** Throws LF_QUANTIZE_UNSUPPORTED_MODEL for layers that no format here can hold. */
export function checkLayers({ config }: CausalLanguageModel): void {
  const fail = (what: string) => quantizeErrors.LF_QUANTIZE_UNSUPPORTED_MODEL({ what });
  if (config.experts) throw fail(`${config.modelType} has layers with experts`);
  if (config.modules.transposed) throw fail(`${config.modelType} keeps its layers as [in, out]`);
}

/**
 * The group size that was asked for, or the largest of 128, 64 and 32 that divides every layer's inputs.
 * Throws LF_QUANTIZE_GROUP_SIZE, and LF_QUANTIZE_FORMAT where codes would not fill their 32-bit words.
 */
export function chooseGroupSize(linears: readonly Linear[], bits: number, asked: number | undefined): number {
  const groupSize =
    asked ?? GROUP_SIZES.find((size) => linears.every(({ inFeatures }) => inFeatures % size === 0)) ?? GROUP_SIZES[2];
  for (const { name, inFeatures, outFeatures } of linears) {
    if (inFeatures % groupSize !== 0) {
      throw quantizeErrors.LF_QUANTIZE_GROUP_SIZE({ groupSize, layer: name, width: inFeatures });
    }
    if ((inFeatures * bits) % 32 !== 0 || (outFeatures * bits) % 32 !== 0) {
      const reason = `${name} is [${outFeatures}, ${inFeatures}], which ${bits} bits do not pack into whole words of 32 bits`;
      throw quantizeErrors.LF_QUANTIZE_FORMAT({ reason });
    }
  }
  return groupSize;
}

/** A weight [N, K] on the host. Throws LF_QUANTIZE_WEIGHT_NOT_FINITE. */
export async function finiteWeight({ name, weight, inFeatures }: Linear): Promise<Float32Array> {
  using copy = weight.toFloat32();
  const values = await copy.floats();
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) {
    const row = Math.floor(wrong / inFeatures);
    throw quantizeErrors.LF_QUANTIZE_WEIGHT_NOT_FINITE({ layer: name, row, column: wrong % inFeatures });
  }
  return values;
}
