import { defineStepRunner } from '@largeforge/core';
import { pruneErrors } from '../errors.js';
import { type StructuredOptions, structuredOptions } from '../options.js';
import { pruneModel } from '../pruned-model.js';
import { checkPrune, pruneInputs, pruneOutputs } from '../sparse/runner.js';
import { pruneStructures } from './prune-structures.js';

function checkTogether({ heads, channels, layers }: StructuredOptions): void {
  if (heads > 0 || channels > 0 || layers > 0) return;
  throw pruneErrors.LF_PRUNE_OPTIONS({ reason: 'heads, channels and layers are 0, so nothing would go' });
}

/** Takes heads, channels and layers out of a model. */
export const structuredRunner = defineStepRunner('optimize', {
  options: structuredOptions,
  outputs: [...pruneOutputs],
  inputs: pruneInputs,
  async check(context, options: StructuredOptions) {
    checkTogether(options);
    await checkPrune(context, options);
  },
  run(context, options: StructuredOptions) {
    checkTogether(options);
    const { heads, channels, layers, multipleOf } = options;
    const settings = { heads, channels, layers, multipleOf };
    return pruneModel(context, options, 'structured', settings, (run) => pruneStructures(run, settings));
  },
});
