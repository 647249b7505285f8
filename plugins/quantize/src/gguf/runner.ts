import { join } from 'node:path';
import { type CheckContext, checkOutputFolder, defineStepRunner, pathOrName, type StepContext } from '@largeforge/core';
import { checkModelFiles } from '@largeforge/engine';
import { calibrationFiles, calibrationOptions, checkCalibration, gateFiles, gateOptions } from '@largeforge/optimize';
import { z } from 'zod';
import { ggufRecipes } from './block-types.js';

export const ggufOptions = z.strictObject({
  model: z.string().min(1).describe('folder, .gguf file or cached name'),
  outputDir: z.string().min(1).optional().describe('where model.gguf goes'),
  type: z.enum(ggufRecipes).default('q4_k_m').describe('of the matrices, as llama.cpp names recipes'),
  ...calibrationOptions,
  calibration: calibrationOptions.calibration
    .optional()
    .describe(
      'text whose activations weigh the errors of weights (an importance matrix); all count the same without it',
    ),
  batchTokens: z.int().positive().default(4096).describe('tokens that go through a layer at once'),
  dtype: z.enum(['f32', 'bf16']).default('bf16').describe('precision of the calibration run and of the comparison'),
  gate: gateOptions.prefault({}).describe('how much the model may lose to be kept'),
});

export type GgufOptions = z.output<typeof ggufOptions>;

/** Quantises to a GGUF file: a step `{stage: optimize, use: gguf}`. */
export const ggufRunner = defineStepRunner('optimize', {
  options: ggufOptions,
  outputs: ['model', 'report', 'page', 'bitsPerWeight'],
  inputs: ({ model, calibration, gate }: GgufOptions) => ({
    paths: [model, ...(calibration === undefined ? [] : calibrationFiles(calibration)), ...gateFiles(gate)],
  }),
  async check(context: CheckContext, { model, outputDir, calibration, gate }: GgufOptions): Promise<void> {
    await context.backend();
    if (outputDir !== undefined && !context.comesLater(outputDir)) checkOutputFolder(context.resolvePath(outputDir));
    if (!context.comesLater(model)) checkModelFiles(pathOrName(context.resolvePath, model));
    checkCalibration(context, calibration, gate);
  },
  async run(context: StepContext, options: GgufOptions) {
    const { exportGguf } = await import('./export.js');
    const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
    return exportGguf(context, options, { folder, file: join(folder, 'model.gguf') });
  },
});
