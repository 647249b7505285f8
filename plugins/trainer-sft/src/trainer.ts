import { defineStepRunner, pathOrName } from '@largeforge/core';
import { exampleRows, type TrainingData, trainingData } from '@largeforge/data';
import { nextTokenObjective, readModelSource, Tokenizer, type TokenRow, withTokenizerOf } from '@largeforge/engine';
import { checkTrainer, fineTune, trainerOutputs } from '@largeforge/trainer';
import { chosenLoss } from './loss.js';
import { type SftOptions, sftOptions } from './options.js';

/** Supervised fine-tuning on the engine's training loop: a LoRA adapter, or every weight. */
export const sftRunner = defineStepRunner('train', {
  options: sftOptions,
  outputs: trainerOutputs,
  inputs: ({ model, adapter, dataset, evalDataset }: SftOptions) => ({
    paths: [model, ...(adapter === undefined ? [] : [adapter]), ...dataset.paths, ...(evalDataset?.paths ?? [])],
  }),
  async check(context, options: SftOptions) {
    await chosenLoss(context, options.loss);
    await checkTrainer(context, options);
  },
  async run(context, options: SftOptions) {
    const loss = await chosenLoss(context, options.loss);
    const base = pathOrName(context.resolvePath, options.model);
    const files = readModelSource(base);
    const source = options.adapter === undefined ? files : withTokenizerOf(context.resolvePath(options.adapter), files);
    const tokenizer = Tokenizer.of(source);
    const { maxLength } = options;
    const data = await trainingData(context, tokenizer, { ...options.dataset, maxLength }, exampleRows);
    let heldOut: TrainingData<TokenRow> | undefined;
    try {
      if (options.evalDataset) {
        heldOut = await trainingData(
          context,
          tokenizer,
          { ...options.evalDataset, maxLength },
          exampleRows,
          'evalDataset',
        );
      }
      return await fineTune(context, options, {
        base,
        source,
        tokenizer: data.tokenizer,
        rows: data.rows,
        heldOut: heldOut?.rows,
        learningRates: { adapter: 2e-4, full: 2e-5 },
        objective: (model) => nextTokenObjective(model, loss),
      });
    } finally {
      data.close();
      heldOut?.close();
    }
  },
});
