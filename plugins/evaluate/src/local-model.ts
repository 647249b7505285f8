import { type CheckContext, pathOrName, type StepContext } from '@largeforge/core';
import {
  adapterBase,
  asCausal,
  type CausalLanguageModel,
  checkModelFiles,
  type Device,
  isAdapterFolder,
  loadAdapter,
  loadModel,
  openDevice,
  readModelSource,
  Tokenizer,
  withTokenizerOf,
} from '@largeforge/engine';

export interface LocalModel extends Disposable {
  /** Where it lies, or its name in the cache. */
  readonly path: string;
  readonly device: Device;
  readonly model: CausalLanguageModel;
  readonly tokenizer: Tokenizer;
}

/** Looks at a model's files and the backend before anything runs; not at files that an earlier step makes. */
export async function checkModel(context: CheckContext, model: string): Promise<void> {
  await context.backend();
  if (context.comesLater(model)) return;
  const path = pathOrName(context.resolvePath, model);
  checkModelFiles(isAdapterFolder(path) ? adapterBase(path) : path);
}

/**
 * Loads a model for an evaluation: a folder, a .gguf file, a cached name, or an adapter's folder, whose base model is
 * loaded with the adapter beside its weights. Dispose it to give the device back.
 */
export async function openLocalModel(
  context: Pick<StepContext, 'backend' | 'resolvePath'>,
  name: string,
  { dtype, weights }: { readonly dtype: 'f32' | 'bf16'; readonly weights?: 'float' | 'as-stored' },
): Promise<LocalModel> {
  const path = pathOrName(context.resolvePath, name);
  const adapter = isAdapterFolder(path) ? path : undefined;
  const base = adapter === undefined ? path : adapterBase(adapter);
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  try {
    const source = readModelSource(base);
    const tokenizer = Tokenizer.of(adapter === undefined ? source : withTokenizerOf(adapter, source));
    const model = asCausal(await loadModel(device, base, { dtype, ...(weights === 'as-stored' && { weights }) }));
    if (adapter !== undefined) await loadAdapter(model, adapter);
    return { path, device, model, tokenizer, [Symbol.dispose]: () => device[Symbol.dispose]() };
  } catch (error) {
    device[Symbol.dispose]();
    throw error;
  }
}
