import { dirname, join } from 'node:path';
import { pathOrName, type StepContext } from '@largeforge/core';
import { type PairRow, pairRows, type TrainingData, trainingData } from '@largeforge/data';
import { type RowSource, readModelSource, Tokenizer, withTokenizerOf } from '@largeforge/engine';
import { fineTune, type LearningRates, type TrainerOptions } from '@largeforge/trainer';
import { logProbabilities } from './answers/answer-batch.js';
import { pairBatch, pairObjective } from './pair-objective.js';
import type { PairMethod } from './pairs.js';
import { chooseReference, type ReferenceChoice } from './reference/choose-reference.js';
import type { Reference } from './reference/reference.js';
import { type AskReference, ReferenceTable } from './reference/reference-table.js';

/** How a trainer learns from pairs. */
export interface PairTraining {
  readonly method: PairMethod;
  readonly learningRates: LearningRates;
  /** Given by methods that compare with a reference. */
  readonly reference?: { readonly model?: string | undefined; readonly precompute: boolean };
}

/** Trains on pairs of answers: the `run` of every pair trainer. */
export async function trainOnPairs(context: StepContext<'train'>, options: TrainerOptions, training: PairTraining) {
  const { method, learningRates } = training;
  const base = pathOrName(context.resolvePath, options.model);
  const files = readModelSource(base);
  const source = options.adapter === undefined ? files : withTokenizerOf(context.resolvePath(options.adapter), files);
  const tokenizer = Tokenizer.of(source);
  const { maxLength } = options;
  const compared = training.reference
    ? chooseReference(context, { ...options, reference: training.reference.model }, files)
    : undefined;
  const data = await trainingData(context, tokenizer, { ...options.dataset, maxLength }, pairRows);
  let heldOut: TrainingData<PairRow> | undefined;
  try {
    if (options.evalDataset) {
      heldOut = await trainingData(context, tokenizer, { ...options.evalDataset, maxLength }, pairRows, 'evalDataset');
    }
    const asked = compared && (compared.beforehand || training.reference?.precompute);
    const table = (rows: RowSource<PairRow>) =>
      asked ? new ReferenceTable(rows, cacheFolder(context), tableIdentity(compared, method)) : undefined;
    const tables = { rows: table(data.rows), heldOut: heldOut && table(heldOut.rows) };
    return await fineTune(context, options, {
      base,
      source,
      tokenizer: data.tokenizer,
      rows: tables.rows?.rows ?? data.rows,
      heldOut: tables.heldOut?.rows ?? heldOut?.rows,
      learningRates,
      binTokens: 2 * maxLength,
      frozen: (compared?.opened ?? []).map((source) => ({ source })),
      async objective(model) {
        const reference = await compared?.open(model);
        for (const each of [tables.rows, tables.heldOut]) {
          if (each && reference) await fill(context, each, asker(reference, method), options);
        }
        return pairObjective(model, method, asked ? undefined : reference);
      },
    });
  } finally {
    data.close();
    heldOut?.close();
  }
}

/** Beside the tokenised rows: both outlive the run that made them. */
function cacheFolder(context: StepContext): string {
  return join(dirname(context.outputDir), '.tokenised');
}

function tableIdentity({ identity }: ReferenceChoice, { tailWeight = 1 }: PairMethod): string {
  return `${identity} tail ${tailWeight}`;
}

function asker(reference: Reference, method: PairMethod): AskReference {
  return async (pairs) => {
    const batch = pairBatch(pairs, method);
    const nll = reference.nll(batch);
    const logps = logProbabilities(await nll.floats(), batch);
    nll.dispose();
    return pairs.flatMap((_, i) => [logps[i] as number, logps[pairs.length + i] as number]);
  };
}

async function fill(context: StepContext<'train'>, table: ReferenceTable, ask: AskReference, options: TrainerOptions) {
  const { events, name: task, signal } = context;
  await table.fill(ask, {
    batchTokens: 2 * options.batchSize * options.maxLength,
    signal,
    onProgress: (current) => events.emit({ type: 'progress', task, current, unit: 'pairs shown to the reference' }),
  });
}

/** What a pair trainer's run depends on. */
export function pairInputs({ model, adapter, dataset, evalDataset }: TrainerOptions, reference?: string) {
  const models = [model, adapter, reference].filter((path) => path !== undefined);
  return { paths: [...models, ...dataset.paths, ...(evalDataset?.paths ?? [])] };
}
