import type { Job } from './job.js';

/** Learning rates that a multiplier of 1 means: those of the trainers for adapters. */
const learningRates = { supervised: 2e-4, dpo: 5e-6 } as const;
const trainers = { supervised: 'sft', dpo: 'dpo' } as const;

interface TrainingFiles {
  /** Of the base model. */
  readonly model: string;
  readonly training: string;
  readonly validation: string | undefined;
  readonly outputDir: string;
}

/**
 * The training of a job as a step of a pipeline. What the job leaves to `auto` is as the trainer has it.
 * @param defaults options of the trainer that jobs cannot set, from the config
 */
export function trainingStep(
  { method, hyperparameters, seed }: Job,
  files: TrainingFiles,
  defaults: Readonly<Record<string, unknown>>,
) {
  const { n_epochs: epochs, batch_size: batchSize, learning_rate_multiplier: multiplier, beta } = hyperparameters;
  const number = (key: string, value: unknown) => (typeof value === 'number' ? { [key]: value } : {});
  const data = (path: string) => ({ paths: [path], format: method.type === 'dpo' ? 'openai-preference' : 'messages' });
  return {
    name: 'tune',
    stage: 'train',
    use: trainers[method.type],
    with: {
      saveSteps: 50,
      ...defaults,
      model: files.model,
      dataset: data(files.training),
      ...(files.validation !== undefined && { evalDataset: data(files.validation) }),
      outputDir: files.outputDir,
      seed,
      ...number('epochs', epochs),
      ...number('batchSize', batchSize),
      ...(typeof multiplier === 'number' && { learningRate: multiplier * learningRates[method.type] }),
      ...(method.type === 'dpo' && number('beta', beta)),
    },
  };
}
