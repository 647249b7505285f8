import { createHash } from 'node:crypto';
import type { RunIdentity } from './checkpoint/run-state.js';
import type { Trainable } from './objective.js';
import type { TrainingOptions } from './options.js';

/** What decides the result of a run: a checkpoint is resumed only by a run that has the same. */
export function identityOf(
  run: { readonly objective: string; readonly data: string; readonly rows: number; readonly units: number },
  model: Trainable,
  options: TrainingOptions,
  totalSteps: number,
): RunIdentity {
  const { seed, order, batchSize, accumulation, packing, neftuneAlpha, averageDecay, lossScale } = options;
  const shapes = [...model.trainableParameters()].map(([name, { shape }]) => `${name} ${shape.join('x')}`);
  return {
    ...run,
    totalSteps,
    seed,
    order,
    batchSize,
    accumulation,
    packing: packing ?? null,
    neftuneAlpha: neftuneAlpha ?? null,
    optimizer: plain(options.optimizer),
    schedule: plain(options.schedule),
    lossScale: lossScale ? plain(lossScale) : null,
    averageDecay: averageDecay ?? null,
    spikes: plain(options.spikes),
    parameters: createHash('sha256').update(shapes.join('\n')).digest('hex'),
  };
}

/** As it comes back from a file: without what is undefined. */
function plain(options: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(options)) as Record<string, unknown>;
}
