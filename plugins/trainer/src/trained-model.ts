import type { StepContext } from '@largeforge/core';
import {
  asCausal,
  attachLora,
  type CausalLanguageModel,
  type Device,
  keepFrozenWeights,
  loadAdapter,
  loadModelFiles,
  type ModelSource,
  saveAdapter,
  savePretrained,
  type Tokenizer,
} from '@largeforge/engine';
import type { TrainerOptions } from './options.js';

/** The files that a training starts from. */
export interface BaseModel {
  /** As it is named in what is saved: a path, or a name in the cache. */
  readonly base: string;
  /** What is loaded, with the tokenizer that is saved. */
  readonly source: ModelSource;
}

/** The model with what is trained of it: a new adapter, one to go on with, or every weight. */
export async function openModel(
  context: StepContext<'train'>,
  device: Device,
  source: ModelSource,
  options: TrainerOptions,
): Promise<CausalLanguageModel> {
  const { precision, frozenWeights } = options;
  const coded = frozenWeights !== 'float';
  const model = asCausal(
    loadModelFiles(device, source, { dtype: precision, ...(coded ? { weights: 'as-stored' as const } : {}) }),
  );
  if (frozenWeights !== 'float') await keepFrozenWeights(model, frozenWeights);
  if (options.full) model.setTrainable(true);
  else if (options.adapter === undefined) attachLora(model, { ...options.lora, seed: options.seed });
  else loadAdapter(model, context.resolvePath(options.adapter), { trainable: true });
  return model;
}

/** Writes what people load: an adapter as PEFT does, or a model as transformers does, its tokenizer beside it. */
export function saver(
  model: CausalLanguageModel,
  { base, source }: BaseModel,
  { source: tokenizer }: Tokenizer,
  { full }: TrainerOptions,
) {
  return (folder: string): Promise<void> =>
    full
      ? savePretrained(model, folder, { tokenizer, generationConfig: source.generationConfig })
      : saveAdapter(model, folder, { baseModel: base, tokenizer });
}
