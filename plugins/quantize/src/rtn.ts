import { defineStepRunner } from '@largeforge/core';
import { z } from 'zod';
import { deviceWeight } from './layers.js';
import { bitsOption, quantizeOptions } from './options.js';
import { quantizeModel } from './quantize.js';
import { roundToNearest } from './rounding/grid.js';
import { checkQuantize, quantizeInputs, quantizeOutputs } from './runner.js';

export const rtnOptions = z.strictObject({
  ...quantizeOptions,
  bits: bitsOption.default(4),
  symmetric: z.boolean().default(true).describe('a range around 0 for each group; else a zero point of its own'),
  search: z.boolean().default(false).describe('shrink ranges where that lowers the squared error of the weights'),
});

export type RtnOptions = z.output<typeof rtnOptions>;

/** Rounds every weight to the nearest code: the baseline of the other methods. The calibration text serves the gate alone. */
export const rtnRunner = defineStepRunner('optimize', {
  options: rtnOptions,
  outputs: [...quantizeOutputs],
  inputs: quantizeInputs,
  check: checkQuantize,
  run(context, options: RtnOptions) {
    const { bits, symmetric, search, format = 'gptq' } = options;
    return quantizeModel(context, options, {
      name: 'rtn',
      bits,
      symmetric,
      format,
      settings: { search },
      async method({ linears, schemeOf, keep }) {
        for (const linear of linears) {
          using weight = await deviceWeight(linear);
          await keep(linear, { weight: await roundToNearest(weight, { ...schemeOf(linear), search }) });
        }
      },
    });
  },
});
