import type { CausalLanguageModel } from '@largeforge/engine';
import { pretrainErrors } from './errors.js';
import type { PretrainOptions } from './options.js';

/**
 * Makes only some layers of a model trainable; its embeddings, its last norm and its head stay as they are.
 * @throws LF_PRETRAIN_LAYERS for a layer that it does not have
 */
export function trainOnly(model: CausalLanguageModel, wanted: NonNullable<PretrainOptions['trainLayers']>): void {
  const count = model.config.numLayers;
  const layers = new Set(layersOf(wanted, count));
  for (const layer of layers)
    if (layer < 0 || layer >= count) throw pretrainErrors.LF_PRETRAIN_LAYERS({ layer, count });
  model.setTrainable(false);
  for (const [name, parameter] of model.parameters()) {
    const layer = /(?:^|\.)(?:layers|h)\.(\d+)\./.exec(name)?.[1];
    if (layer !== undefined && layers.has(Number(layer))) parameter.trainable = true;
  }
}

function layersOf(wanted: NonNullable<PretrainOptions['trainLayers']>, count: number): number[] {
  if (Array.isArray(wanted)) return wanted;
  if ('first' in wanted) return Array.from({ length: wanted.first }, (_, layer) => layer);
  return Array.from({ length: wanted.last }, (_, i) => count - wanted.last + i);
}
