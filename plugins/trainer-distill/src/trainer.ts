import { defineStepRunner, pathOrName, type StepContext } from '@largeforge/core';
import { exampleRows, type TrainingData, trainingData } from '@largeforge/data';
import {
  asCausal,
  type CausalLanguageModel,
  checkModelFiles,
  loadAdapter,
  loadModelFiles,
  type ModelSource,
  readAdapter,
  readModelSource,
  selectLayers,
  Tokenizer,
  type TokenRow,
  tokenBatch,
  withTokenizerOf,
} from '@largeforge/engine';
import { checkTrainer, fineTune, trainerOutputs } from '@largeforge/trainer';
import { distillationObjective } from './objective.js';
import { type DistillOptions, distillOptions } from './options.js';
import { modelTeacher } from './teacher/teacher.js';
import { TopKTable } from './teacher/top-k-table.js';
import { checkSameVocabulary } from './teacher/vocabulary.js';

/** Distillation: a student learns what its teacher would say, as a LoRA adapter or in every weight. */
export const distillRunner = defineStepRunner('train', {
  options: distillOptions,
  outputs: trainerOutputs,
  inputs: ({ model, adapter, teacher, teacherAdapter, dataset, evalDataset }: DistillOptions) => {
    const models = [model, adapter, teacher, teacherAdapter].filter((path) => path !== undefined);
    return { paths: [...models, ...dataset.paths, ...(evalDataset?.paths ?? [])] };
  },
  async check(context, options: DistillOptions) {
    const { teacher, teacherAdapter } = options;
    if (!context.comesLater(teacher)) checkModelFiles(pathOrName(context.resolvePath, teacher));
    if (teacherAdapter !== undefined && !context.comesLater(teacherAdapter)) {
      readAdapter(context.resolvePath(teacherAdapter));
    }
    await checkTrainer(context, options);
  },
  run,
});

async function run(context: StepContext<'train'>, options: DistillOptions) {
  const { maxLength, temperature, alpha, scaleByTemperature, topK } = options;
  const base = pathOrName(context.resolvePath, options.model);
  const source = studentSource(context, base, options);
  const teacher = readModelSource(pathOrName(context.resolvePath, options.teacher));
  checkSameVocabulary(source, teacher);
  const tokenizer = Tokenizer.of(source);
  const data = await trainingData(context, tokenizer, { ...options.dataset, maxLength }, exampleRows);
  const tables: TopKTable[] = [];
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
    const settings = { temperature, alpha, beta: betaOf(options), scaleByTemperature };
    const shared = { base, source, tokenizer: data.tokenizer, learningRates: { adapter: 2e-4, full: 5e-5 } };
    const open = ({ device }: CausalLanguageModel) => openTeacher(context, device, teacher, options);
    if (topK === undefined) {
      return await fineTune(context, options, {
        ...shared,
        rows: data.rows,
        heldOut: heldOut?.rows,
        frozen: [teacher],
        objective: (model) => distillationObjective(model, modelTeacher(open(model)), settings, tokenBatch),
      });
    }
    const precision = `${options.precision} ${options.teacherWeights} ${options.teacherAdapter ?? ''}`;
    const table = { teacher, topK, precision, batchTokens: options.batchSize * maxLength };
    tables.push(new TopKTable(data.rows, context, table));
    if (heldOut) tables.push(new TopKTable(heldOut.rows, context, table));
    return await fineTune(context, options, {
      ...shared,
      rows: (tables[0] as TopKTable).rows,
      heldOut: tables[1]?.rows,
      async objective(model) {
        for (const each of tables) await each.fill(() => open(model));
        return distillationObjective(model, TopKTable.teacher(model), settings, TopKTable.collate);
      },
    });
  } finally {
    for (const table of tables) table.close();
    data.close();
    heldOut?.close();
  }
}

/** The student's files: all of them, or some of the layers. */
function studentSource(
  context: StepContext<'train'>,
  base: string,
  { adapter, keepLayers }: DistillOptions,
): ModelSource {
  const files = readModelSource(base);
  if (adapter !== undefined) return withTokenizerOf(context.resolvePath(adapter), files);
  if (keepLayers === undefined) return files;
  if (typeof keepLayers !== 'number') return selectLayers(files, keepLayers);
  const layers = Number(files.config.num_hidden_layers ?? files.config.n_layer);
  return selectLayers(files, spread(layers, keepLayers));
}

/** So many of the layers, the first and the last among them, at even distances. */
export function spread(layers: number, kept: number): number[] {
  if (kept === 1) return [0];
  return Array.from({ length: kept }, (_, i) => Math.round((i * (layers - 1)) / (kept - 1)));
}

function betaOf({ divergence, beta }: DistillOptions): number {
  if (divergence === 'generalized_js') return beta;
  return divergence === 'forward_kl' ? 0 : 1;
}

function openTeacher(
  context: StepContext<'train'>,
  device: CausalLanguageModel['device'],
  source: ModelSource,
  { precision, teacherWeights, teacherAdapter }: DistillOptions,
): CausalLanguageModel {
  const model = asCausal(loadModelFiles(device, source, { dtype: precision, weights: teacherWeights }));
  if (teacherAdapter !== undefined) loadAdapter(model, context.resolvePath(teacherAdapter));
  return model;
}
