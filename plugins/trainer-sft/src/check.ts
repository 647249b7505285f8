import { type CheckContext, checkOutputFolder, pathOrName } from '@largeforge/core';
import { checkData } from '@largeforge/data';
import { checkModelFiles, readAdapter } from '@largeforge/engine';
import { chosenLoss } from './loss.js';
import type { SftOptions } from './options.js';

/** What a training would fail on, before anything is trained: an unknown loss, a model or data that are not there. */
export async function checkSft(context: CheckContext, options: SftOptions): Promise<void> {
  await chosenLoss(context, options.loss);
  const { model, adapter, outputDir } = options;
  if (!context.comesLater(model)) checkModelFiles(pathOrName(context.resolvePath, model));
  if (adapter !== undefined && !context.comesLater(adapter)) readAdapter(context.resolvePath(adapter));
  await context.backend();
  if (outputDir !== undefined && !context.comesLater(outputDir)) checkOutputFolder(context.resolvePath(outputDir));
  for (const data of [options.dataset, options.evalDataset]) if (data) await checkData(context, data);
}
