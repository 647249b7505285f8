import { type CheckContext, checkOutputFolder, pathOrName } from '@largeforge/core';
import { checkModelFiles } from '@largeforge/engine';
import { calibrationFiles, checkCalibration, gateFiles } from '@largeforge/optimize';
import type { QuantizeOptions } from './options.js';

/** What every quantiser's step gives. */
export const quantizeOutputs = ['model', 'report', 'page', 'bitsPerWeight'] as const;

/** Files that decide what a quantiser makes. */
export function quantizeInputs({ model, calibration, gate }: QuantizeOptions): { paths: string[] } {
  return { paths: [model, ...calibrationFiles(calibration), ...gateFiles(gate)] };
}

/** Looks at files, folders and the backend before anything runs; not at what an earlier step makes. */
export async function checkQuantize(context: CheckContext, options: QuantizeOptions): Promise<void> {
  await context.backend();
  const { model, outputDir, calibration, gate } = options;
  if (outputDir !== undefined && !context.comesLater(outputDir)) checkOutputFolder(context.resolvePath(outputDir));
  if (!context.comesLater(model)) checkModelFiles(pathOrName(context.resolvePath, model));
  checkCalibration(context, calibration, gate);
}
