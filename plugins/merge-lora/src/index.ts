import { definePlugin } from '@largeforge/core';
import { z } from 'zod';

export default definePlugin({
  name: '@largeforge/merge-lora',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.optimizer.add('merge-lora', {
      describe: 'Adds a LoRA adapter to the weights of its base model',
      load: async () => (await import('./merge.js')).mergeRunner,
    });
    context.commands.add({
      name: 'merge',
      summary: 'merge a LoRA adapter into its base model',
      examples: ['largeforge merge --base-model ./base --adapter ./out --output-dir ./merged'],
      options: [
        {
          flags: '--base-model <model>',
          description: 'folder, .gguf file or cached name (default: as the adapter says)',
        },
        { flags: '--adapter <folder>', description: 'the adapter', required: true },
        { flags: '--output-dir <folder>', description: 'where the merged model goes', required: true },
        {
          flags: '--dtype <precision>',
          description: 'of the merged weights',
          choices: ['f32', 'bf16', 'f16'],
          default: 'bf16',
        },
      ],
      async run({ options }, { runSteps }) {
        await runSteps([{ name: 'merge', stage: 'optimize', use: 'merge-lora', with: { ...options } }]);
      },
    });
  },
});
