import { defineStepRunner } from '@largeforge/core';
import { z } from 'zod';
import { defaultRecall } from '../calibration/threshold.js';
import { defaultTraining } from '../neural/linear-classifier.js';
import { saveRouter } from '../router/artifact.js';
import { Router } from '../router/router.js';
import type { StrategyName } from '../router/trained-router.js';
import { type Evaluation, evaluateRouter } from './evaluation.js';
import { openEncoderOn } from './open-router.js';
import { percent, writeReport } from './report.js';
import { readRows, splitRows } from './rows.js';
import { trainRouter } from './train-router.js';

const options = z.strictObject({
  dataset: z.string().describe('JSON Lines of {"text", "expert"}; "expert": null is a text for none'),
  outputDir: z.string().describe('where the router goes'),
  validation: z.string().optional().describe('held-out rows that thresholds are chosen on'),
  validationShare: z.number().min(0.01).max(0.5).default(0.15).describe('rows to hold out when none are given'),
  outOfScopeRecall: z
    .number()
    .min(0)
    .max(1)
    .default(defaultRecall)
    .describe('share of the validation rows for none that thresholds turn away'),
  test: z.string().optional().describe('rows to report on that nothing is chosen on'),
  encoder: z.string().optional().describe('folder of a sentence encoder; without it, n-grams alone'),
  epochs: z.number().int().min(1).max(100).default(defaultTraining.epochs),
  seed: z.number().int().default(defaultTraining.seed),
});

const strategies = ['keyword', 'neural', 'hybrid'] as const satisfies readonly StrategyName[];

/** The step `train` / `router`: rows to a folder that `router-hybrid` decides with, and a report. */
export const routerTrainer = defineStepRunner('train', {
  options,
  outputs: ['router', 'inScopeAccuracy', 'outOfScopeRecall'],
  inputs: ({ dataset, validation, test, encoder }) => ({
    paths: [dataset, validation, test, encoder].filter((path) => path !== undefined),
  }),
  async run(
    context,
    { dataset, validation, validationShare, test, encoder, epochs, seed, outOfScopeRecall: recall, ...rest },
  ) {
    const { signal, events } = context;
    const start = performance.now();
    const tell = (text: string) => events.emit({ type: 'message', level: 'info', text, fields: {} });
    const rows = readRows(context.resolvePath(dataset));
    const split = validation
      ? { train: rows, validation: readRows(context.resolvePath(validation)) }
      : splitRows(rows, validationShare);
    const outputDir = context.resolvePath(rest.outputDir);
    const path = encoder === undefined ? undefined : context.resolvePath(encoder);
    // Training may take every core; decisions later take one.
    const model = path === undefined ? undefined : await openEncoderOn(context.backend, undefined)(path);
    try {
      const { router, calibration } = await trainRouter({
        ...split,
        ...(model && path !== undefined && { encoder: { path, model } }),
        settings: { epochs, seed },
        outOfScopeRecall: recall,
        onProgress: tell,
        signal,
      });
      await saveRouter(outputDir, router);
      const experts = router.neural.labels.map((name) => ({ name }));
      const seconds = (performance.now() - start) / 1000;
      const evaluate = async (on: Parameters<typeof evaluateRouter>[1]) => {
        const evaluations: Record<string, Evaluation> = {};
        for (const strategy of strategies) {
          evaluations[strategy] = await evaluateRouter(new Router(router, model, { strategy }), on, experts, signal);
        }
        return evaluations;
      };
      const onValidation = await evaluate(split.validation);
      const onTest = test === undefined ? undefined : await evaluate(readRows(context.resolvePath(test)));
      writeReport(outputDir, {
        trainingRows: split.train.length,
        validationRows: split.validation.length,
        seconds,
        calibration,
        validation: onValidation,
        ...(onTest && { test: onTest }),
      });
      const { inScopeAccuracy, outOfScopeRecall } = (onTest ?? onValidation).hybrid!;
      tell(
        `router in ${outputDir}: in-scope accuracy ${percent(inScopeAccuracy)}, out-of-scope recall ${percent(outOfScopeRecall)} on ${onTest ? 'test' : 'validation'} rows; see report.md`,
      );
      return {
        router: outputDir,
        inScopeAccuracy,
        outOfScopeRecall: Number.isNaN(outOfScopeRecall) ? null : outOfScopeRecall,
      };
    } finally {
      await model?.close();
    }
  },
});
