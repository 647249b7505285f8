import type { OptimizerOptions } from '../options.js';

/** As transformers: norms and biases do not decay, whatever their shape. */
const undecayed = /bias|layernorm|rmsnorm|(?:^|[._])norm(?:$|\.)/i;

export function decays(name: string, shape: readonly number[]): boolean {
  return shape.length > 1 && !undecayed.test(name);
}

/** The number of the layer that a parameter belongs to, in the names of every architecture. */
const layerNumber = /(?:^|\.)(?:layers|layer|h|blocks)\.(\d+)\./;
const embeddings = /embed|(^|\.)(wte|wpe)(\.|$)/;

/**
 * What the learning rate of a parameter is multiplied by:
 * LoRA+ (Hayou et al. 2024) moves B faster than A; with `layerDecay` each layer has that share of the rate of the layer
 * above it, embeddings that of the lowest layer's, norm and head behind the last layer the whole rate (Clark et al. 2020,
 * as in BEiT and timm); `rates` name parameters by a regular expression, of which the first that matches counts.
 */
export function rateFactor(
  name: string,
  { loraPlusRatio = 1, layerDecay = 1, rates = {} }: Pick<OptimizerOptions, 'loraPlusRatio' | 'layerDecay' | 'rates'>,
  layers: number,
): number {
  const side = /\.lora_(B\.weight|magnitude_vector)/.test(name) ? loraPlusRatio : 1;
  const layer = layerNumber.exec(name)?.[1];
  const above = layer !== undefined ? layers - Number(layer) : embeddings.test(name) ? layers + 1 : 0;
  const named = Object.entries(rates).find(([pattern]) => new RegExp(pattern).test(name))?.[1] ?? 1;
  return side * layerDecay ** above * named;
}
