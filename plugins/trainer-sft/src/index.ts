import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { trainSft } from './command.js';
import { initCommand } from './init-command.js';

// Also declares, to those who import it, what the registry `loss` holds.
export type { ChosenLoss } from './loss.js';

export default definePlugin({
  name: '@largeforge/trainer-sft',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.trainer.add('sft', {
      describe: 'Supervised fine-tuning, full or LoRA',
      load: async () => (await import('./trainer.js')).sftRunner,
    });
    context.registries.loss.add('cross-entropy', {
      describe: 'cross-entropy of the next token, with label smoothing if asked for',
      load: async () => (await import('./loss.js')).crossEntropyDefinition,
    });
    context.commands.add(trainSft);
    context.commands.add(initCommand);
  },
});
