import type { ModelSource, TensorEntry } from '../formats/index.js';
import { modelErrors } from './errors.js';

/** Where configs say how many layers there are. */
const countKeys = ['num_hidden_layers', 'n_layer'] as const;

/**
 * A model of some of the layers of another, in the order given: the tensors stay in the files. What the config says of
 * each layer (kinds of attention) follows.
 * @throws LF_ENGINE_LAYERS for a layer that the model does not have
 */
export function selectLayers(source: ModelSource, layers: readonly number[]): ModelSource {
  const countKey = countKeys.find((key) => typeof source.config[key] === 'number');
  const count = countKey === undefined ? 0 : (source.config[countKey] as number);
  if (countKey === undefined || layers.length === 0 || layers.some((layer) => layer < 0 || layer >= count)) {
    throw modelErrors.LAYERS({ path: source.path, layers, count });
  }
  const places = new Map<number, number[]>();
  for (const [place, layer] of layers.entries()) places.set(layer, [...(places.get(layer) ?? []), place]);
  const tensors = new Map<string, TensorEntry>();
  for (const [name, entry] of source.tensors) {
    const match = /^(.*\b(?:layers|h)\.)(\d+)(\..*)$/.exec(name);
    if (!match) tensors.set(name, entry);
    for (const place of match ? (places.get(Number(match[2])) ?? []) : []) {
      const renamed = `${match?.[1]}${place}${match?.[3]}`;
      tensors.set(renamed, { ...entry, name: renamed });
    }
  }
  const perLayer = Object.entries(source.config).filter(([, value]) => Array.isArray(value) && value.length === count);
  const selected = perLayer.map(([key, values]) => [key, layers.map((layer) => (values as unknown[])[layer])]);
  const config = { ...source.config, ...Object.fromEntries(selected), [countKey]: layers.length };
  return { ...source, config, tensors };
}
