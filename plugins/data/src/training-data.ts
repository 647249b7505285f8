import { dirname, join } from 'node:path';
import { LargeForgeError, type StepContext } from '@largeforge/core';
import type { RowSource, Tokenizer } from '@largeforge/engine';
import { dataErrors } from './errors.js';
import type { DatasetFormat } from './formats/format.js';
import { builtInFormats } from './formats/index.js';
import type { DataOptions } from './options.js';
import { type PreparedData, prepareData } from './prepare.js';
import { type DataReport, reportLines } from './report.js';
import type { RowShape } from './row-shape.js';
import { withTemplate } from './tokenise/chat-templates.js';
import { workerPool } from './tokenise/pool.js';

/** Rows that a trainer can train on. */
export interface TrainingData<Row> {
  readonly rows: RowSource<Row>;
  readonly report: DataReport;
  /** With the chat template by which the rows were rendered: to be saved beside the model. */
  readonly tokenizer: Tokenizer;
  /** Closes the files of the rows. */
  close(): void;
}

/** What reading data needs of the step that asks for it. */
type DataContext = Pick<StepContext, 'name' | 'outputDir' | 'resolvePath' | 'signal' | 'events' | 'kernel'>;

/**
 * Reads, checks and tokenises the data of a training step: with the formats of the registry `datasetFormat`, through
 * the hooks `data.transform` and `data.validate`, on worker threads, or from the cache of an earlier run. Emits the
 * event `data.report`.
 * @param shape what the trainer's rows are: `exampleRows`, `pairRows`, `judgedRows`
 * @param where path of the options in the step's own, such as `dataset`; tells training from held-out data
 * @throws LF_DATA_* errors; see errors.ts
 */
export async function trainingData<Row>(
  context: DataContext,
  model: Tokenizer,
  options: DataOptions,
  shape: RowShape<Row>,
  where = 'dataset',
): Promise<TrainingData<Row>> {
  const absolute = {
    ...options,
    paths: options.paths.map((path) => context.resolvePath(path)),
    ...(options.chatTemplate === undefined || options.chatTemplate === 'chatml'
      ? {}
      : { chatTemplate: context.resolvePath(options.chatTemplate) }),
  };
  const tokenizer = await withTemplate(model, absolute.chatTemplate);
  const { registries, hooks } = context.kernel;
  const { transform } = hooks.data;
  const data = await prepareData({
    options: absolute,
    tokenizer,
    shape,
    cacheFolder: join(dirname(context.outputDir), '.tokenised'),
    formats: await knownFormats(registries.datasetFormat),
    openPool: (setting) => workerPool(setting, options.threads, context.signal),
    ...(transform.used ? { transform: (set) => transform.fire(set) } : {}),
    onProgress: (rows) =>
      context.events.emit({ type: 'progress', task: context.name, current: rows, unit: 'rows tokenised' }),
  });
  try {
    await announce(context, data, where);
  } catch (error) {
    data.close();
    throw error;
  }
  return { rows: data.rows, report: data.report, tokenizer, close: data.close };
}

/** The registered formats, and this package's own, which need no plugin to be listed. */
async function knownFormats(registry: StepContext['kernel']['registries']['datasetFormat']): Promise<DatasetFormat[]> {
  const ids = registry.ids();
  const registered = await Promise.all(ids.map(async (id) => (await registry.get(id)) as DatasetFormat));
  return [...registered, ...builtInFormats.filter(({ id }) => !ids.includes(id))];
}

/** Tells what the data is, and asks whoever has a say whether it may be trained on. */
async function announce(context: DataContext, data: PreparedData<unknown>, where: string): Promise<void> {
  const { report, length, cache } = data;
  const lines = reportLines(report, length, where, cache.hit);
  const figures = { ...report, length, cache: cache.hit };
  context.events.emit({ type: 'data.report', task: context.name, lines, report: figures });
  const source = report.files.join(', ');
  const answer = await context.kernel.hooks.data.validate.fire({ source, format: report.format, report: figures });
  if (!answer) return;
  const { reason, remedy } = answer.answer;
  const error = dataErrors.LF_DATA_REFUSED({ source, plugin: answer.plugin, reason });
  if (remedy === undefined) throw error;
  throw new LargeForgeError(error.code, error.message, remedy, error.exitCode, error.details);
}
