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
import { distillErrors } from './errors.js';
import { checkPairs, evenPairs, type FeatureSettings, makeProjections } from './features/feature-settings.js';
import { type DistillationExtras, distillationObjective } from './objective.js';
import { studentSamples } from './on-policy/student-samples.js';
import { type DistillOptions, distillOptions, isServer } from './options.js';
import { runStages } from './stages.js';
import { Alignment, alignVocabularies, type VocabularyMap } from './teacher/alignment.js';
import { RemoteTeacher } from './teacher/remote-teacher.js';
import { modelTeacher } from './teacher/teacher.js';
import { type AskedTeacher, askModel, filesOf, TopKTable } from './teacher/top-k-table.js';
import { checkSameVocabulary } from './teacher/vocabulary.js';

/** Distillation: a student learns what its teacher would say, as a LoRA adapter or in every weight. */
export const distillRunner = defineStepRunner('train', {
  options: distillOptions,
  outputs: trainerOutputs,
  inputs: ({ model, adapter, teacher, teacherAdapter, dataset, evalDataset }: DistillOptions) => {
    // The address of a server counts by its text.
    const models = [model, adapter, teacher, teacherAdapter].filter((path) => path !== undefined);
    return { paths: [...models, ...dataset.paths, ...(evalDataset?.paths ?? [])] };
  },
  async check(context, options: DistillOptions) {
    const { teacher, teacherAdapter } = options;
    if (!isServer(teacher) && !context.comesLater(teacher)) checkModelFiles(pathOrName(context.resolvePath, teacher));
    if (teacherAdapter !== undefined && !context.comesLater(teacherAdapter)) {
      readAdapter(context.resolvePath(teacherAdapter));
    }
    await checkTrainer(context, options);
  },
  run: (context, options) => (options.stages ? runStages(context, options, run) : run(context, options)),
});

async function run(context: StepContext<'train'>, options: DistillOptions): Promise<Record<string, unknown>> {
  const { maxLength, temperature, alpha, scaleByTemperature, topK } = options;
  const base = pathOrName(context.resolvePath, options.model);
  const source = studentSource(context, base, options);
  const teacher = isServer(options.teacher) ? undefined : teacherFiles(context, source, options);
  const tokenizer = Tokenizer.of(source);
  const opened: { close(): void }[] = [];
  const open = async (key: 'dataset' | 'evalDataset') => {
    const reading = options[key];
    if (!reading) return undefined;
    const data = await trainingData(context, tokenizer, { ...reading, maxLength }, exampleRows, key);
    opened.push(data);
    return data;
  };
  try {
    const data = (await open('dataset')) as TrainingData<TokenRow>;
    const heldOut = await open('evalDataset');
    const settings = { temperature, alpha, beta: betaOf(options), scaleByTemperature };
    const shared = { base, source, tokenizer: data.tokenizer, learningRates: { adapter: 2e-4, full: 5e-5 } };
    if (topK === undefined && teacher) {
      return await fineTune(context, options, {
        ...shared,
        rows: data.rows,
        heldOut: heldOut?.rows,
        frozen: [{ source: teacher.source, asStored: options.teacherWeights === 'as-stored' }],
        objective(model) {
          const asked = openTeacher(context, model, teacher, options);
          const extras = extrasOf(model, asked.model, tokenizer, options);
          return distillationObjective(model, modelTeacher(asked.model, asked.alignment), settings, tokenBatch, extras);
        },
      });
    }
    const table = {
      identity: identityOf(teacher, options),
      topK: topK as number,
      batchTokens: options.batchSize * maxLength,
    };
    const tables = [data, ...(heldOut ? [heldOut] : [])].map(({ rows }) => new TopKTable(rows, context, table));
    opened.push(...tables);
    const [training, evaluation] = tables as [TopKTable, TopKTable?];
    return await fineTune(context, options, {
      ...shared,
      rows: training.rows,
      heldOut: evaluation?.rows,
      async objective(model) {
        for (const each of tables) await each.fill(() => asked(context, model, tokenizer, teacher, options));
        return distillationObjective(model, TopKTable.teacher(model), settings, TopKTable.collate);
      },
    });
  } finally {
    for (const each of opened.reverse()) each.close();
  }
}

/** A teacher of this process: its files, and how its tokens are matched where they have other numbers. */
interface TeacherFiles {
  readonly source: ModelSource;
  readonly vocabulary: VocabularyMap | undefined;
}

function teacherFiles(context: StepContext<'train'>, student: ModelSource, options: DistillOptions): TeacherFiles {
  const source = readModelSource(pathOrName(context.resolvePath, options.teacher));
  if (options.vocabulary === 'align') {
    const vocabulary = alignVocabularies(student, source);
    const { shared, teacherIds } = vocabulary;
    const absent = teacherIds.length - shared;
    if (options.onPolicy && absent > 0) {
      const reason = `the student's own answers may have any of ${absent} tokens that the teacher cannot read`;
      throw distillErrors.LF_DISTILL_VOCABULARY({ student: student.path, teacher: source.path, reason });
    }
    const text = `the teacher has ${shared} of the student's tokens; the other ${absent} take no part`;
    context.events.emit({ type: 'message', level: 'info', text });
    return { source, vocabulary };
  }
  checkSameVocabulary(student, source);
  return { source, vocabulary: undefined };
}

function openTeacher(
  context: StepContext<'train'>,
  { device }: CausalLanguageModel,
  { source, vocabulary }: TeacherFiles,
  { precision, teacherWeights, teacherAdapter, model: student, teacher }: DistillOptions,
) {
  const model = asCausal(loadModelFiles(device, source, { dtype: precision, weights: teacherWeights }));
  if (teacherAdapter !== undefined) loadAdapter(model, context.resolvePath(teacherAdapter));
  return { model, alignment: vocabulary && new Alignment(model, vocabulary, { student, teacher }) };
}

/** A teacher that is asked before training: one of this process, or one behind a server. */
async function asked(
  context: StepContext<'train'>,
  student: CausalLanguageModel,
  tokenizer: Tokenizer,
  files: TeacherFiles | undefined,
  options: DistillOptions,
): Promise<AskedTeacher> {
  const { teacher: url, teacherModel, teacherApiKey: apiKey } = options;
  const topK = options.topK as number;
  if (files) {
    const { model, alignment } = openTeacher(context, student, files, options);
    return askModel(model, modelTeacher(model, alignment), topK, () => {
      alignment?.[Symbol.dispose]();
      model.dispose();
    });
  }
  const settings = { url, model: teacherModel as string, apiKey, topK, signal: context.signal };
  const remote = await RemoteTeacher.open(tokenizer, student.config.vocabSize, settings);
  return { ask: (rows) => remote.ask(rows), close: () => {} };
}

function identityOf(files: TeacherFiles | undefined, options: DistillOptions): string[] {
  const { precision, teacherWeights, teacherAdapter, teacher, teacherModel, vocabulary } = options;
  if (!files) return [teacher, teacherModel as string];
  return [`${precision} ${teacherWeights} ${teacherAdapter ?? ''} ${vocabulary}`, ...filesOf(files.source)];
}

/** Hidden states that are learnt, and answers of the student's own. */
function extrasOf(
  student: CausalLanguageModel,
  teacher: CausalLanguageModel,
  tokenizer: Tokenizer,
  { features, onPolicy, maxLength, seed }: DistillOptions,
): DistillationExtras<TokenRow> {
  return {
    features: features && featuresOf(student, teacher, features, seed),
    ...(onPolicy && { prepare: studentSamples(student, tokenizer, { ...onPolicy, maxLength, seed }) }),
  };
}

function featuresOf(
  { device, config: student }: CausalLanguageModel,
  { config: teacher }: CausalLanguageModel,
  { layers, weight }: NonNullable<DistillOptions['features']>,
  seed: number,
): FeatureSettings {
  const pairs = layers === 'even' ? evenPairs(student.numLayers, teacher.numLayers) : layers;
  checkPairs(pairs, student, teacher);
  return { pairs, weight, projections: makeProjections(device, pairs, { student, teacher, seed }) };
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
