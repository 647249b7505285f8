import { join } from 'node:path';
import { defineStepRunner } from '@largeforge/core';
import {
  asCausal,
  attachLora,
  loadModel,
  nextTokenObjective,
  openDevice,
  readModelSource,
  saveAdapter,
  savePretrained,
  Tokenizer,
  train,
  trainingOptions,
} from '@largeforge/engine';
import { type SftOptions, sftOptions } from './options.js';
import { prepareRows } from './rows.js';

/** Supervised fine-tuning on the engine's training loop: a LoRA adapter, or every weight. */
export const sftRunner = defineStepRunner('train', {
  options: sftOptions,
  outputs: ['adapter', 'model', 'loss', 'steps'],
  inputs: ({ model, dataset }: SftOptions) => ({ paths: [model, dataset] }),
  async run(context, options: SftOptions) {
    const cached = /^[\w-][\w.-]*\/[\w.-]+$/.test(options.model);
    const base = cached ? options.model : context.resolvePath(options.model);
    const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
    const { library, threads, device: index } = await context.backend();
    const device = openDevice({ library, threads, index });
    try {
      const source = readModelSource(base);
      const tokenizer = Tokenizer.of(source);
      const prepared = await prepareRows(context.resolvePath(options.dataset), tokenizer, options.maxLength);
      const { lengths } = prepared.rows;
      context.events.emit({
        type: 'data.report',
        task: context.name,
        lines: [
          `data: ${lengths.length} rows, ${prepared.tokens} tokens, longest ${prepared.longest}; ${((100 * prepared.targets) / prepared.tokens).toFixed(1)} % are targets`,
        ],
        report: { rows: lengths.length, tokens: prepared.tokens, targets: prepared.targets, longest: prepared.longest },
      });
      const model = asCausal(await loadModel(device, base, { dtype: options.precision }));
      if (options.full) model.setTrainable(true);
      else attachLora(model, { ...options.lora, seed: options.seed });
      const save = (to: string) =>
        options.full
          ? savePretrained(model, to, { tokenizer: source.tokenizer, generationConfig: source.generationConfig })
          : saveAdapter(model, to, { baseModel: base });
      const result = await train({
        model,
        objective: nextTokenObjective(model),
        rows: prepared.rows,
        folder: join(folder, 'checkpoints'),
        resume: context.resume,
        overwrite: !context.resume,
        signal: context.signal,
        saveWeights: save,
        options: trainingOptions.parse({
          epochs: options.epochs,
          maxSteps: options.maxSteps,
          batchSize: options.batchSize,
          accumulation: options.gradientAccumulation,
          seed: options.seed,
          optimizer: { learningRate: options.learningRate ?? (options.full ? 2e-5 : 2e-4) },
          schedule: { type: options.scheduler, warmupRatio: options.warmupRatio },
          checkpoints: { steps: options.saveSteps, keep: 1 },
        }),
        onEvent: async (event) => {
          if (event.type === 'step') {
            context.events.emit({ ...event, type: 'train.step', task: context.name });
            await context.hooks.step.fire(event);
          }
        },
      });
      if (result.aborted) throw context.signal.reason;
      await save(folder);
      const loss = result.losses.at(-1) ?? Number.NaN;
      return { ...(options.full ? { model: folder } : { adapter: folder }), loss, steps: result.step };
    } finally {
      device[Symbol.dispose]();
    }
  },
});
