import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { quantizeCommand } from './command.js';

export { CalibrationStream, disposeInput, type SharedInput } from './calibration/stream.js';
export { PackedStore } from './checkpoint/packed-store.js';
export {
  type CheckpointFormat,
  checkpointFormats,
  type LayerScheme,
  type QuantizationScheme,
} from './checkpoint/scheme.js';
export { quantizeErrors } from './errors.js';
export { type Folding, foldingOf, rotateValues, scaleColumns, spread } from './folding.js';
export { deviceWeight, finiteWeight, linearsOf } from './layers.js';
export type { LayerTask, QuantizationMethod, QuantizedLinear } from './method.js';
export { bitsOption, driftCorrectionOption, type QuantizeOptions, quantizeOptions } from './options.js';
export { type QuantizationOutputs, type QuantizationPlan, quantizeModel } from './quantize.js';
export {
  type CompensationOptions,
  type CompensationResult,
  compensate,
  type Preparation,
  prepare,
} from './rounding/compensate.js';
export { correctedWeight } from './rounding/correct.js';
export { factorUpper, type UpperFactor, upperInverse } from './rounding/factor.js';
export { emptyCodes, type GridOptions, roundToNearest, searchOf, weightOf } from './rounding/grid.js';
export { outputError, quadraticForm } from './rounding/quadratic-form.js';
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
    context.registries.optimizer.add('smoothquant', {
      describe: 'Quantises weights and inputs to 8 bits, after ranges of inputs went over to the weights',
      load: async () => (await import('./smoothquant.js')).smoothQuantRunner,
    });
    context.registries.optimizer.add('gguf', {
      describe: 'Quantises to the block formats of llama.cpp, as one GGUF file',
      load: async () => (await import('./gguf/runner.js')).ggufRunner,
    });
    context.commands.add(quantizeCommand());
  },
});
