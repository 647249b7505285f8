import { join } from 'node:path';
import { defineStepRunner, pathOrName, type StepContext } from '@largeforge/core';
import { type TrainingData, trainingData } from '@largeforge/data';
import {
  asCausal,
  attachLora,
  type CausalLanguageModel,
  type Device,
  loadAdapter,
  loadModel,
  type ModelSource,
  nextTokenObjective,
  openDevice,
  readModelSource,
  saveAdapter,
  savePretrained,
  splitRows,
  Tokenizer,
  type TrainingEvent,
  type TrainingResult,
  train,
  withTokenizerOf,
} from '@largeforge/engine';
import { checkSft } from './check.js';
import { type ChosenLoss, chosenLoss } from './loss.js';
import { type SftOptions, sftOptions } from './options.js';
import { announcePlan } from './plan.js';
import { loopOptions } from './training-options.js';

/** Supervised fine-tuning on the engine's training loop: a LoRA adapter, or every weight. */
export const sftRunner = defineStepRunner('train', {
  options: sftOptions,
  outputs: ['adapter', 'model', 'loss', 'evalLoss', 'steps'],
  inputs: ({ model, adapter, dataset, evalDataset }: SftOptions) => ({
    paths: [model, ...(adapter === undefined ? [] : [adapter]), ...dataset.paths, ...(evalDataset?.paths ?? [])],
  }),
  check: checkSft,
  async run(context, options: SftOptions) {
    const loss = await chosenLoss(context, options.loss);
    const base = pathOrName(context.resolvePath, options.model);
    const files = readModelSource(base);
    const source = options.adapter === undefined ? files : withTokenizerOf(context.resolvePath(options.adapter), files);
    const tokenizer = Tokenizer.of(source);
    const { maxLength } = options;
    const data = await trainingData(context, tokenizer, { ...options.dataset, maxLength });
    let heldOut: TrainingData | undefined;
    try {
      if (options.evalDataset) {
        heldOut = await trainingData(context, tokenizer, { ...options.evalDataset, maxLength }, 'evalDataset');
      }
      return await fineTune(context, options, { base, source, data, heldOut, loss });
    } finally {
      data.close();
      heldOut?.close();
    }
  },
});

interface Inputs {
  readonly base: string;
  readonly source: ModelSource;
  readonly data: TrainingData;
  readonly heldOut: TrainingData | undefined;
  readonly loss: ChosenLoss;
}

async function fineTune(context: StepContext<'train'>, options: SftOptions, inputs: Inputs) {
  const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
  const training = loopOptions(options);
  const rows = { rows: inputs.data.rows, ...divideRows(inputs, options) };
  announcePlan(context, options, training, { source: inputs.source, folder, ...rows });
  if (options.dryRun) return { steps: 0 };
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  try {
    const model = await openModel(context, device, inputs.base, options);
    const save = saver(model, inputs, options);
    const result = await train({
      model,
      objective: nextTokenObjective(model, inputs.loss),
      ...rows,
      folder: join(folder, 'checkpoints'),
      resume: context.resume,
      overwrite: context.force,
      signal: context.signal,
      saveWeights: save,
      options: training,
      onEvent: (event) => report(context, event),
    });
    if (result.aborted) throw context.signal.reason;
    await save(folder);
    return outputs(result, folder, options);
  } finally {
    device[Symbol.dispose]();
  }
}

/** The rows that are trained on, and those that are held out. */
function divideRows({ data, heldOut }: Inputs, { evalSplit, seed }: SftOptions) {
  if (heldOut) {
    const all = Uint32Array.from({ length: heldOut.rows.lengths.length }, (_, row) => row);
    return { heldOut: { source: heldOut.rows, rows: all } };
  }
  if (evalSplit === 0) return {};
  const split = splitRows(data.rows.lengths.length, evalSplit, seed);
  return { training: split.training, heldOut: { source: data.rows, rows: split.heldOut } };
}

async function openModel(
  context: StepContext<'train'>,
  device: Device,
  base: string,
  options: SftOptions,
): Promise<CausalLanguageModel> {
  const model = asCausal(await loadModel(device, base, { dtype: options.precision }));
  if (options.full) model.setTrainable(true);
  else if (options.adapter === undefined) attachLora(model, { ...options.lora, seed: options.seed });
  else loadAdapter(model, context.resolvePath(options.adapter), { trainable: true });
  return model;
}

/** Writes what people load: an adapter as PEFT does, or a model as transformers does, its tokenizer beside it. */
function saver(model: CausalLanguageModel, { base, source, data }: Inputs, { full }: SftOptions) {
  const tokenizer = data.tokenizer.source;
  return (folder: string): Promise<void> =>
    full
      ? savePretrained(model, folder, { tokenizer, generationConfig: source.generationConfig })
      : saveAdapter(model, folder, { baseModel: base, tokenizer });
}

async function report(context: StepContext<'train'>, event: TrainingEvent): Promise<void> {
  const { events, hooks, name: task } = context;
  switch (event.type) {
    case 'step':
      events.emit({ ...event, type: 'train.step', task });
      hooks.step.fire(event);
      return;
    case 'evaluated':
      events.emit({ type: 'train.evaluated', task, step: event.step, metrics: event.metrics });
      return;
    case 'checkpoint':
      events.emit({ type: 'train.checkpoint', task, step: event.step, path: event.path });
      await hooks.checkpoint.fire({ step: event.step, path: event.path });
      return;
    case 'resumed':
      events.emit({
        type: 'message',
        level: 'info',
        text:
          event.step === 0
            ? 'there is no checkpoint yet: from the beginning'
            : `goes on at step ${event.step}, from ${event.path}`,
      });
      return;
    case 'damaged':
      events.emit({
        type: 'message',
        level: 'warn',
        text: `the checkpoint ${event.path} is damaged (${event.reason}); the one before it is taken`,
      });
      return;
    case 'stopped':
      events.emit({ type: 'message', level: 'info', text: `stops at step ${event.step}: ${event.reason}` });
  }
}

function outputs({ losses, step, evaluation }: TrainingResult, folder: string, { full }: SftOptions) {
  return {
    ...(full ? { model: folder } : { adapter: folder }),
    loss: losses.at(-1) ?? Number.NaN,
    ...(evaluation?.loss === undefined ? {} : { evalLoss: evaluation.loss }),
    steps: step,
  };
}
