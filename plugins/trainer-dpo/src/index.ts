import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { trainCpo, trainDpo, trainKto, trainOrpo, trainSimpo } from './commands.js';

export default definePlugin({
  name: '@largeforge/trainer-dpo',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup({ registries: { trainer }, commands }) {
    trainer.add('dpo', {
      describe: 'Direct preference optimisation on pairs of answers, with all losses of TRL',
      load: async () => (await import('./dpo/trainer.js')).dpoRunner,
    });
    trainer.add('orpo', {
      describe: 'Odds-ratio preference optimisation: imitation and preference at once, without a reference',
      load: async () => (await import('./orpo/trainer.js')).orpoRunner,
    });
    trainer.add('cpo', {
      describe: 'Contrastive preference optimisation, without a reference',
      load: async () => (await import('./cpo/trainer.js')).cpoRunner,
    });
    trainer.add('simpo', {
      describe: 'Simple preference optimisation: mean log-probabilities and a margin, without a reference',
      load: async () => (await import('./cpo/trainer.js')).simpoRunner,
    });
    trainer.add('kto', {
      describe: 'Kahneman-Tversky optimisation on single answers that are good or bad',
      load: async () => (await import('./kto/trainer.js')).ktoRunner,
    });
    for (const command of [trainDpo, trainOrpo, trainCpo, trainSimpo, trainKto]) commands.add(command);
  },
});
