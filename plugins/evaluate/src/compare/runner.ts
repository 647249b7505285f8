import { join } from 'node:path';
import { defineStepRunner } from '@largeforge/core';
import { writeJson, writeTextFile } from '@largeforge/engine';
import { z } from 'zod';
import { evaluateErrors } from '../errors.js';
import { comparisonPage } from '../page/comparison-page.js';
import { type Comparison, compareScores } from './compare.js';
import { readDocumentScores } from './scores.js';
import { comparisonColumns, comparisonRow } from './table.js';

export const compareOptions = z.strictObject({
  baseline: z.string().min(1).describe('results.json of the model that is to be beaten, or held'),
  candidate: z.string().min(1).describe('results.json of the other model, of the same evaluation'),
  alpha: z.number().gt(0).lt(1).default(0.05).describe('p-value below which a difference counts'),
  metrics: z.array(z.string()).optional().describe('only those whose name contains one of these'),
  failOnRegression: z.boolean().default(true).describe('fail when the candidate is significantly worse'),
  maxDrop: z
    .number()
    .min(0)
    .optional()
    .describe('fail when a share is worse by more, or a perplexity by more of the baseline, significant or not'),
});

export type CompareOptions = z.output<typeof compareOptions>;

/** Compares two models on the same documents, and stops a pipeline whose new model is worse. */
export const compareRunner = defineStepRunner('evaluate', {
  options: compareOptions,
  outputs: ['comparison', 'page', 'worse', 'better'],
  inputs: ({ baseline, candidate }: CompareOptions) => ({ paths: [baseline, candidate] }),
  async run(context, options: CompareOptions) {
    const [baseline, candidate] = [options.baseline, options.candidate].map((file) => context.resolvePath(file));
    const all = compareScores(readDocumentScores(baseline!), readDocumentScores(candidate!), options.alpha);
    const { metrics } = options;
    const comparisons = metrics ? all.filter(({ name }) => metrics.some((metric) => name.includes(metric))) : all;
    if (comparisons.length === 0) {
      throw evaluateErrors.LF_EVALUATE_NOTHING_SHARED({ baseline: baseline!, candidate: candidate! });
    }
    const file = join(context.outputDir, 'comparison.json');
    writeJson(file, { baseline, candidate, options, comparisons });
    const page = join(context.outputDir, 'comparison.html');
    writeTextFile(page, comparisonPage(comparisons, { baseline: baseline!, candidate: candidate! }));
    context.events.emit({
      type: 'table',
      task: context.name,
      columns: comparisonColumns,
      rows: comparisons.map(comparisonRow),
    });
    const refused = comparisons.filter((each) => isRefused(each, options));
    if (refused.length > 0) {
      const figures = refused.map(
        ({ name, baseline, candidate, pValue }) =>
          `${name} ${baseline.toFixed(4)} -> ${candidate.toFixed(4)} (p ${pValue.toPrecision(2)})`,
      );
      throw evaluateErrors.LF_EVALUATE_REGRESSION({ figures });
    }
    const named = (verdict: string) => comparisons.filter((each) => each.verdict === verdict).map(({ name }) => name);
    return { comparison: file, page, worse: named('worse'), better: named('better') };
  },
});

/** Shares drop by their difference, perplexities rise by a share of the baseline. */
function isRefused(comparison: Comparison, { failOnRegression, maxDrop = Infinity }: CompareOptions): boolean {
  const { verdict, baseline, difference, higherIsBetter } = comparison;
  if (failOnRegression && verdict === 'worse') return true;
  return (higherIsBetter ? -difference : difference / baseline) > maxDrop;
}
