import { statSync } from 'node:fs';
import { join } from 'node:path';
import { pathOrName, type StepContext } from '@largeforge/core';
import {
  asCausal,
  type CausalLanguageModel,
  loadAdapter,
  loadModel,
  type ModelSource,
  readModelSource,
} from '@largeforge/engine';
import type { TrainerOptions } from '@largeforge/trainer';
import { adapterOff, frozenModel, type Reference } from './reference.js';

/** What a training compares with, before anything is opened. */
export interface ReferenceChoice {
  /** Files of the models that `open` loads. */
  readonly opened: readonly ModelSource[];
  /** Files of the models that `keep` loads. */
  readonly kept: readonly ModelSource[];
  /** Whether the model must be asked before training, because what it starts from is gone afterwards. */
  readonly beforehand: boolean;
  /** What decides its answers, in words: files with their times, precision. */
  readonly identity: string;
  /**
   * The reference; one that is asked `beforehand` answers for what the model is at that time.
   * @param model the one that is trained, as it starts
   */
  open(model: CausalLanguageModel): Promise<Reference>;
  /** The reference for the whole training: where that must be, a copy of what it starts from. */
  keep(model: CausalLanguageModel): Promise<Reference>;
}

/**
 * The reference of a training: a model that is named, or what the training starts from. That is to be had at any time by
 * switching a new adapter off; an adapter that is trained further, weights that are trained in full, and biases or whole
 * modules beside an adapter are gone after the first step.
 */
export function chooseReference(
  context: Pick<StepContext, 'resolvePath'>,
  options: TrainerOptions & { readonly reference?: string | undefined },
  base: ModelSource,
): ReferenceChoice {
  const { precision } = options;
  if (options.reference !== undefined) {
    const path = pathOrName(context.resolvePath, options.reference);
    const source = readModelSource(path);
    const open = async ({ device }: CausalLanguageModel) => {
      const model = asCausal(await loadModel(device, path, { dtype: precision }));
      return frozenModel(model);
    };
    const opened = [source];
    return { opened, kept: opened, beforehand: false, identity: identityOf(precision, source), open, keep: open };
  }
  const { full, adapter, lora } = options;
  const gone = full || adapter !== undefined || lora.bias !== 'none' || lora.modulesToSave.length > 0;
  const folder = adapter === undefined ? undefined : context.resolvePath(adapter);
  const copy = async ({ device }: CausalLanguageModel) => {
    const model = asCausal(await loadModel(device, base.path, { dtype: precision }));
    if (folder !== undefined) loadAdapter(model, folder);
    return frozenModel(model);
  };
  return {
    opened: [],
    kept: gone ? [base] : [],
    beforehand: gone,
    identity: identityOf(precision, base, folder === undefined ? [] : [join(folder, 'adapter_model.safetensors')]),
    open: async (model) => (gone ? frozenModel(model) : adapterOff(model)),
    keep: async (model) => (gone ? copy(model) : adapterOff(model)),
  };
}

function identityOf(precision: string, { tensors }: ModelSource, further: readonly string[] = []): string {
  const files = [...new Set([...tensors.values()].map(({ file }) => file)), ...further].sort();
  const states = files.map((file) => {
    const { size, mtimeMs } = statSync(file);
    return [file, size, mtimeMs];
  });
  return JSON.stringify([precision, states]);
}
