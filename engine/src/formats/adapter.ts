import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeTextFile } from './atomic-file.js';
import { formatErrors } from './errors.js';
import { readJson } from './json-file.js';
import type { TensorEntry } from './model-source.js';
import { readSafetensors, type TensorToWrite, writeSafetensors } from './safetensors.js';

/** A PEFT adapter as its files describe it. */
export interface AdapterSource {
  readonly path: string;
  /** adapter_config.json */
  readonly config: Record<string, unknown>;
  /** By the key in adapter_model.safetensors. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

export function isAdapterFolder(path: string): boolean {
  return existsSync(join(path, 'adapter_config.json'));
}

/** Reads the description of an adapter folder; tensor data stays in its file. */
export function readAdapter(path: string): AdapterSource {
  if (!isAdapterFolder(path))
    throw formatErrors.FILE_MISSING({ path: join(path, 'adapter_config.json'), what: 'adapter' });
  const weights = join(path, 'adapter_model.safetensors');
  if (!existsSync(weights)) throw formatErrors.FILE_MISSING({ path: weights, what: 'adapter weights file' });
  return { path, config: readJson(join(path, 'adapter_config.json')), tensors: readSafetensors(weights).tensors };
}

/** Writes an adapter folder: weights first, so that a folder with a config is whole. Keys are sorted, as PEFT sorts them. */
export async function writeAdapter(
  path: string,
  config: Record<string, unknown>,
  tensors: readonly TensorToWrite[],
): Promise<void> {
  writeTextFile(
    join(path, 'README.md'),
    `---\nlibrary_name: peft\nbase_model: ${JSON.stringify(config.base_model_name_or_path ?? '')}\n---\n`,
  );
  await writeSafetensors(join(path, 'adapter_model.safetensors'), tensors);
  const sorted = Object.fromEntries(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeTextFile(join(path, 'adapter_config.json'), `${JSON.stringify(sorted, null, 2)}`);
}
