import { type CheckContext, checkOutputFolder, pathOrName } from '@largeforge/core';
import { checkData } from '@largeforge/data';
import { checkModelFiles, readAdapter } from '@largeforge/engine';
import type { TrainerOptions } from './options.js';

/** What a training would fail on, before anything is trained: a model, an adapter or data that are not there. */
export async function checkTrainer(context: CheckContext, options: TrainerOptions): Promise<void> {
  const { model, adapter, outputDir } = options;
  if (!context.comesLater(model)) checkModelFiles(pathOrName(context.resolvePath, model));
  if (adapter !== undefined && !context.comesLater(adapter)) readAdapter(context.resolvePath(adapter));
  await context.backend();
  if (outputDir !== undefined && !context.comesLater(outputDir)) checkOutputFolder(context.resolvePath(outputDir));
  for (const data of [options.dataset, options.evalDataset]) if (data) await checkData(context, data);
}
