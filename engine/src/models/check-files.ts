import { resolve } from 'node:path';
import { hasCode } from '../errors.js';
import { isAdapterFolder, locateModel, readAdapter, readModelSource } from '../formats/index.js';
import { Tokenizer } from '../tokenizer/index.js';
import { modelErrors } from './errors.js';
import { parseModelConfig } from './load.js';

/**
 * The base model that an adapter's folder names; a relative path starts at the adapter. Throws LF_ENGINE_ADAPTER_BASE when
 * it names none, or one that is not here.
 */
export function adapterBase(path: string): string {
  const { base_model_name_or_path: base } = readAdapter(path).config;
  if (typeof base !== 'string' || base === '') throw modelErrors.ADAPTER_BASE({ path, base: undefined });
  const place = base.startsWith('.') ? resolve(path, base) : base;
  try {
    locateModel(place);
  } catch (cause) {
    throw hasCode(cause, 'LF_ENGINE_MODEL_NOT_FOUND') ? modelErrors.ADAPTER_BASE({ path, base }, { cause }) : cause;
  }
  return place;
}

/**
 * Looks at a model's files as far as that is quick: throws what opening it would complain of, but for its tensors.
 * @param path a model folder, a .gguf file, an adapter's folder (then its base model is looked at too) or a cached name
 */
export function checkModelFiles(path: string): void {
  const source = readModelSource(isAdapterFolder(path) ? adapterBase(path) : path);
  parseModelConfig(source.config);
  if (source.tokenizer !== undefined) Tokenizer.of(source);
}
