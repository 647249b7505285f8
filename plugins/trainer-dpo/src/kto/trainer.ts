import { defineStepRunner, pathOrName, type StepContext } from '@largeforge/core';
import { type JudgedRow, judgedRows, type TrainingData, trainingData } from '@largeforge/data';
import { readModelSource, Tokenizer, withTokenizerOf } from '@largeforge/engine';
import { fineTune, trainerOutputs } from '@largeforge/trainer';
import { z } from 'zod';
import { checkPreferenceTrainer } from '../check.js';
import { checkPreferenceOptions, preferenceOptions, referenceOptions } from '../options.js';
import { pairInputs } from '../pair-trainer.js';
import { chooseReference } from '../reference/choose-reference.js';
import { ktoLosses } from './loss.js';
import { ktoObjective } from './objective.js';

/** Options of Kahneman-Tversky optimisation. */
export const ktoOptions = z
  .strictObject({
    ...preferenceOptions,
    learningRate: preferenceOptions.learningRate.describe('peak; 5e-6 with LoRA, 1e-6 in full unless given'),
    loss: z.enum(ktoLosses).default('kto').describe('apo_zero_unpaired has no KL estimate'),
    beta: z.number().positive().default(0.1).describe('how closely to keep to the reference'),
    desirableWeight: z.number().min(0).default(1).describe('of good answers; with few of them, more than 1'),
    undesirableWeight: z.number().min(0).default(1).describe('of bad answers'),
    ...referenceOptions,
  })
  .superRefine((options, context) => {
    checkPreferenceOptions(options, context);
    if (options.loss === 'kto' && options.batchSize < 2 && !options.packing) {
      const message = 'at least 2 with kto: the KL estimate pairs the answers of a batch with other prompts';
      context.addIssue({ code: 'custom', path: ['batchSize'], message });
    }
  });

type KtoOptions = z.output<typeof ktoOptions>;

/** Kahneman-Tversky optimisation: single answers that are good or bad. */
export const ktoRunner = defineStepRunner('train', {
  options: ktoOptions,
  outputs: trainerOutputs,
  inputs: (options: KtoOptions) => pairInputs(options, options.reference),
  check: checkPreferenceTrainer,
  run: trainOnJudgements,
});

async function trainOnJudgements(context: StepContext<'train'>, options: KtoOptions) {
  const { loss, beta, desirableWeight, undesirableWeight, maxLength } = options;
  const base = pathOrName(context.resolvePath, options.model);
  const files = readModelSource(base);
  const source = options.adapter === undefined ? files : withTokenizerOf(context.resolvePath(options.adapter), files);
  const tokenizer = Tokenizer.of(source);
  const reference = chooseReference(context, options, files);
  const data = await trainingData(context, tokenizer, { ...options.dataset, maxLength }, judgedRows);
  let heldOut: TrainingData<JudgedRow> | undefined;
  try {
    if (options.evalDataset) {
      const shape = { ...options.evalDataset, maxLength };
      heldOut = await trainingData(context, tokenizer, shape, judgedRows, 'evalDataset');
    }
    return await fineTune(context, options, {
      base,
      source,
      tokenizer: data.tokenizer,
      rows: data.rows,
      heldOut: heldOut?.rows,
      learningRates: { adapter: 5e-6, full: 1e-6 },
      frozen: reference.kept.map((source) => ({ source })),
      objective: async (model) =>
        ktoObjective(model, { loss, beta, desirableWeight, undesirableWeight }, await reference.keep(model)),
    });
  } finally {
    data.close();
    heldOut?.close();
  }
}
