import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { quantizeCommand } from './command.js';

export { CalibrationStream, type SharedInput } from './calibration/stream.js';
export { type CheckpointFormat, checkpointFormats, type QuantizationScheme } from './checkpoint/format.js';
export { PackedStore } from './checkpoint/packed-store.js';
export { quantizeErrors } from './errors.js';
export { codeOf, type GridOptions, GridSearch, roundToNearest } from './grid.js';
export { finiteWeight, linearsOf } from './layers.js';
export type { LayerTask, QuantizationMethod, QuantizedLinear } from './method.js';
export { type QuantizeOptions, quantizeOptions } from './options.js';
export { outputError } from './output-error.js';
export { type QuantizationOutputs, type QuantizationPlan, quantizeModel } from './quantize.js';
export { checkQuantize, quantizeInputs, quantizeOutputs } from './runner.js';

export default definePlugin({
  name: '@largeforge/quantize',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.optimizer.add('rtn', {
      describe: 'Rounds weights to the nearest code: the baseline of better quantisers',
      load: async () => (await import('./rtn.js')).rtnRunner,
    });
    context.commands.add(quantizeCommand());
  },
});
