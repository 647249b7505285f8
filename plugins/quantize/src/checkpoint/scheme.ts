import type { Linear, ScaleDType } from '@largeforge/engine';

/** Formats that a quantised model can be written in. GPTQ is v1 when symmetric, else v2. */
export const checkpointFormats = ['gptq', 'awq', 'compressed-tensors'] as const;
export type CheckpointFormat = (typeof checkpointFormats)[number];

/** How the weights of one layer are quantised. */
export interface LayerScheme {
  readonly bits: number;
  /** Inputs that share a scale; 0 where each row has one. */
  readonly groupSize: number;
  readonly symmetric: boolean;
}

/** How the layers of a checkpoint are quantised. */
export interface QuantizationScheme extends LayerScheme {
  readonly format: CheckpointFormat;
  /** Of the scales in the files. */
  readonly scaleDType: ScaleDType;
  /** Layers that are quantised in another way than most, by their module names. */
  readonly others: ReadonlyMap<string, LayerScheme>;
  /** Linear layers that keep their weights. */
  readonly kept: readonly string[];
  /** Whether groups are runs of columns in another order than they lie in: GPTQ's g_idx. */
  readonly ordered: boolean;
  /** Whether the head is quantised too. */
  readonly head: boolean;
  /** Whether inputs are rounded to 8 bits as well, each token with a scale of its own. */
  readonly dynamicInputs?: boolean;
}

/** How a layer of a checkpoint is quantised; groups of whole rows have all of its inputs. */
export function layerScheme(
  scheme: QuantizationScheme,
  { name, inFeatures }: Pick<Linear, 'name' | 'inFeatures'>,
): LayerScheme & { scaleDType: ScaleDType } {
  const { bits, groupSize, symmetric } = scheme.others.get(name) ?? scheme;
  return { bits, groupSize: groupSize || inFeatures, symmetric, scaleDType: scheme.scaleDType };
}

/** Every way in which layers of a checkpoint are quantised. */
export function layerSchemes(scheme: QuantizationScheme): LayerScheme[] {
  return [scheme, ...scheme.others.values()];
}
