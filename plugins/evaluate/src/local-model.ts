import { resolve } from 'node:path';
import type { StepContext } from '@largeforge/core';
import {
  asCausal,
  type CausalLanguageModel,
  type Device,
  isAdapterFolder,
  loadAdapter,
  loadModel,
  openDevice,
  readAdapter,
  readModelSource,
  Tokenizer,
} from '@largeforge/engine';

export interface LocalModel extends Disposable {
  /** Where it lies, or its name in the cache. */
  readonly path: string;
  readonly device: Device;
  readonly model: CausalLanguageModel;
  readonly tokenizer: Tokenizer;
}

/** A path of the options, absolute; "org/name" without a file of that name stays what it is: a name of the local cache. */
export function modelPath(context: Pick<StepContext, 'resolvePath'>, model: string): string {
  return /^[\w-][\w.-]*\/[\w.-]+$/.test(model) ? model : context.resolvePath(model);
}

/**
 * Loads a model for an evaluation: a folder, a .gguf file, a cached name, or an adapter's folder, whose base model is
 * loaded with the adapter beside its weights. Dispose it to give the device back.
 */
export async function openLocalModel(
  context: Pick<StepContext, 'backend' | 'resolvePath'>,
  name: string,
  { dtype }: { readonly dtype: 'f32' | 'bf16' },
): Promise<LocalModel> {
  const path = modelPath(context, name);
  const adapter = isAdapterFolder(path) ? path : undefined;
  const base = adapter === undefined ? path : baseOf(adapter);
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  try {
    const tokenizer = Tokenizer.of(readModelSource(base));
    const model = asCausal(await loadModel(device, base, { dtype }));
    if (adapter !== undefined) await loadAdapter(model, adapter);
    return { path, device, model, tokenizer, [Symbol.dispose]: () => device[Symbol.dispose]() };
  } catch (error) {
    device[Symbol.dispose]();
    throw error;
  }
}

function baseOf(adapter: string): string {
  const name = String(readAdapter(adapter).config.base_model_name_or_path ?? '');
  return name.startsWith('.') ? resolve(adapter, name) : name;
}
