import { definePlugin } from '@largeforge/core';
// Types the registry `loss`.
import type {} from '@largeforge/trainer-sft';
import { z } from 'zod';
import { gateOptions, judge } from './gate.js';

/** Trains on the hard cases (the loss `focal`), and stops the pipeline at a model that still fails too many of them. */
export default definePlugin({
  name: 'largeforge-plugin-hard-cases',
  version: '0.1.0',
  apiVersion: 1,
  requires: { '@largeforge/trainer-sft': '>=0.1.0 <1.0.0' },
  options: z.strictObject({ gate: gateOptions.optional().describe('no gate unless given') }),
  setup({ hooks, registries }, { gate }) {
    registries.loss.add('focal', {
      describe: 'focal loss: what the model is sure of hardly counts',
      load: async () => (await import('./focal-loss.js')).focalLoss,
    });
    if (gate) hooks.evaluate.gate.tap(({ plan, outputs }) => judge(gate, plan.step, outputs));
  },
});
