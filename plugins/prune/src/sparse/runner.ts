import { type CheckContext, checkOutputFolder, defineStepRunner, pathOrName } from '@largeforge/core';
import { checkModelFiles } from '@largeforge/engine';
import {
  type CalibrationSource,
  calibrationFiles,
  checkCalibration,
  type GateOptions,
  gateFiles,
} from '@largeforge/optimize';
import { pruneErrors } from '../errors.js';
import { type SparseOptions, sparseOptions } from '../options.js';
import { pruneModel } from '../pruned-model.js';
import { pruneWeights } from './prune-weights.js';

/** What every step that prunes gives. */
export const pruneOutputs = ['model', 'report', 'page', 'sparsity'] as const;

/** Options that name files. */
export interface PruneFiles {
  readonly model: string;
  readonly outputDir?: string | undefined;
  readonly calibration?: CalibrationSource | undefined;
  readonly gate: GateOptions;
}

/** Files that decide what comes out. */
export function pruneInputs({ model, calibration, gate }: PruneFiles): { paths: string[] } {
  return { paths: [model, ...(calibration ? calibrationFiles(calibration) : []), ...gateFiles(gate)] };
}

/** Looks at files, folders and the backend before anything runs. */
export async function checkPrune(
  context: CheckContext,
  { model, outputDir, calibration, gate }: PruneFiles,
): Promise<void> {
  await context.backend();
  if (outputDir !== undefined && !context.comesLater(outputDir)) checkOutputFolder(context.resolvePath(outputDir));
  if (!context.comesLater(model)) checkModelFiles(pathOrName(context.resolvePath, model));
  checkCalibration(context, calibration, gate);
}

function checkTogether({ method, calibration, sparsity, pattern }: SparseOptions): void {
  const wrong = (reason: string) => pruneErrors.LF_PRUNE_OPTIONS({ reason });
  if (method !== 'magnitude' && calibration === undefined) throw wrong(`${method} needs a calibration text`);
  if (pattern === undefined && sparsity === 0) throw wrong('a sparsity of 0 prunes nothing');
}

/** Makes single weights 0. */
export const sparseRunner = defineStepRunner('optimize', {
  options: sparseOptions,
  outputs: [...pruneOutputs],
  inputs: pruneInputs,
  async check(context, options: SparseOptions) {
    checkTogether(options);
    await checkPrune(context, options);
  },
  run(context, options: SparseOptions) {
    checkTogether(options);
    const { method, sparsity, pattern, damping } = options;
    const settings = { method, sparsity, pattern, damping };
    const shown = { ...(pattern ? { pattern } : { sparsity }), ...(method === 'sparsegpt' && { damping }) };
    return pruneModel(context, options, method, shown, (run) => pruneWeights(run, settings));
  },
});
