import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataSet } from '@largeforge/core';
import { type RowSource, removeUnfinished, type Tokenizer, writeFolder } from '@largeforge/engine';
import { cacheKey } from './cache-key.js';
import { dataErrors } from './errors.js';
import { type Detection, detectFormat } from './formats/detect.js';
import type { DatasetFormat, ReadingOptions } from './formats/format.js';
import { type RejectedRow, readRow } from './formats/read-row.js';
import type { DataOptions } from './options.js';
import { dataFiles, readRows } from './reading/data-file.js';
import type { RawRow } from './reading/raw-row.js';
import { transformedRows } from './reading/transformed-rows.js';
import { type DataReport, describeRejected, type LengthReport, type PreviewPiece, summariseLengths } from './report.js';
import type { RowShape } from './row-shape.js';
import { NumberList } from './store/number-list.js';
import { TokenStore, TokenStoreWriter } from './store/token-store.js';
import type { TokenisePool } from './tokenise/pool.js';
import type { WorkerSetting } from './tokenise/setting.js';
import type { TaskRow, TokeniseTask } from './tokenise/task.js';

/** What a trainer wants of the data. */
export interface PrepareRequest<Row> {
  readonly options: DataOptions;
  readonly tokenizer: Tokenizer;
  readonly shape: RowShape<Row>;
  readonly cacheFolder: string;
  readonly formats: readonly DatasetFormat[];
  readonly openPool: (setting: WorkerSetting) => TokenisePool;
  /** Changes the rows before they are read. What it does is not known, so nothing is taken from the cache then. */
  readonly transform?: (rows: DataSet) => Promise<DataSet>;
  readonly onProgress: (rows: number) => void;
}

export interface PreparedData<Row> {
  readonly rows: RowSource<Row>;
  readonly report: DataReport;
  readonly length: LengthReport;
  /** Folder of the tokenised rows, and whether they were there already. */
  readonly cache: { readonly folder: string; readonly hit: boolean };
  close(): void;
}

/** Rows or bytes of a task, whichever is reached first. */
const taskRows = 256;
const taskBytes = 1 << 20;

/**
 * Reads, checks and tokenises training data, or takes it from the cache when data, tokenizer and options are those of
 * an earlier call.
 * @throws LF_DATA_* errors; see errors.ts
 */
export async function prepareData<Row>(request: PrepareRequest<Row>): Promise<PreparedData<Row>> {
  const { options, tokenizer } = request;
  const files = await dataFiles(options.paths);
  const detection = await chooseFormat(files, request);
  const key = await cacheKey(files, tokenizer, detection.format, options);
  const folder = join(request.cacheFolder, key.slice(0, 32));
  let store = request.transform === undefined ? TokenStore.open(folder) : undefined;
  const hit = store !== undefined;
  if (!store) {
    await mkdir(request.cacheFolder, { recursive: true });
    await removeUnfinished(request.cacheFolder);
    await writeFolder(folder, (unfinished) => build(unfinished, key, files, detection, request));
    store = TokenStore.open(folder);
  }
  if (!store) throw new Error(`the tokenised rows in '${folder}' cannot be read back`);
  try {
    const { report } = store;
    if (report.stops === 0 && options.stopToken === 'require') {
      const stop = await Promise.all(
        tokenizer.eosTokenIds.map((id) => tokenizer.decode([id], { skipSpecialTokens: false })),
      );
      throw dataErrors.LF_DATA_NO_STOP_TOKEN({ stop });
    }
    const { maxLength, overlong: policy } = options;
    const limited = await request.shape.limit(store, { maxLength, policy }, report.targets);
    const opened = store;
    return { rows: limited.rows, report, length: limited.report, cache: { folder, hit }, close: () => opened.close() };
  } catch (error) {
    store.close();
    throw error;
  }
}

/** The named format, or the one that the first rows look like, if the trainer can use what it gives. */
async function chooseFormat<Row>(files: readonly string[], request: PrepareRequest<Row>): Promise<Detection> {
  const { from } = request.shape;
  const usable = request.formats.filter((format) => from.includes(format.gives ?? 'examples'));
  const detection = await nameOrDetect(files, request, usable);
  const { id, gives = 'examples' } = detection.format;
  if (from.includes(gives)) return detection;
  throw dataErrors.LF_DATA_WRONG_KIND({
    source: files[0] as string,
    format: id,
    reason: detection.reason,
    gives,
    wanted: from,
    usable: usable.map((format) => `${format.id} (${format.fields})`),
  });
}

async function nameOrDetect<Row>(
  files: readonly string[],
  request: PrepareRequest<Row>,
  usable: readonly DatasetFormat[],
): Promise<Detection> {
  const { options, formats } = request;
  if (options.format !== 'auto') {
    const format = formats.find((format) => format.id === options.format);
    if (format) return { format, reason: 'named in the options' };
    throw dataErrors.LF_DATA_NO_SUCH_FORMAT({ id: options.format, known: formats.map(({ id }) => id) });
  }
  const sample: unknown[] = [];
  const first = files[0] as string;
  for await (const rows of readRows(first, options)) {
    for (const row of rows) {
      if (sample.length === 20) break;
      const value = row.problem === undefined ? parsed(row.text) : undefined;
      if (value !== undefined) sample.push(value);
    }
    if (sample.length === 20) break;
  }
  return detectFormat({ rows: sample, columns: options.columns, source: first }, formats, usable);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Tokenises everything into a folder. */
async function build<Row>(
  folder: string,
  key: string,
  files: readonly string[],
  detection: Detection,
  request: PrepareRequest<Row>,
): Promise<void> {
  const { options, tokenizer } = request;
  const { format } = detection;
  const reading: ReadingOptions = {
    columns: options.columns,
    style: options.style,
    hasChatTemplate: tokenizer.chatTemplate !== undefined,
  };
  const pool = request.openPool({
    tokenizer: { source: tokenizer.source, path: tokenizer.path, eosTokenIds: tokenizer.eosTokenIds },
    formatModule: format.module,
    reading,
    trainOn: options.trainOn,
  });
  const writer = new TokenStoreWriter(folder);
  const source = request.transform === undefined ? readRows : transformedRows(request.transform, format.id);
  const total = { rows: 0, examples: 0, tokens: 0, targets: 0, stops: 0, splitPrompts: 0, rejected: 0 };
  const lengths = new NumberList();
  const preview: (readonly PreviewPiece[])[] = [];
  const first: (RejectedRow & { file: string })[] = [];
  try {
    for (const file of files) {
      const sent: number[] = [];
      const rows = source(file, options);
      const tasks = tasksOf(rows, format, reading, preview.length === 0, sent);
      for await (const result of pool.map(tasks)) {
        writer.append(result);
        total.rows += sent.shift() as number;
        total.examples += result.lines.length;
        total.tokens += result.tokens.length;
        total.targets += result.targets;
        total.stops += result.stops;
        total.splitPrompts += result.splitPrompts;
        total.rejected += result.rejected.length;
        for (let i = 1; i < result.offsets.length; i++) {
          lengths.push((result.offsets[i] as number) - (result.offsets[i - 1] as number));
        }
        preview.push(...result.preview);
        for (const row of result.rejected) if (first.length < 10) first.push({ ...row, file });
        request.onProgress(total.rows);
        refuseTooManyRejected(total, first, options.maxRejected, false);
      }
    }
  } finally {
    await pool.close();
  }
  refuseTooManyRejected(total, first, options.maxRejected, true);
  if (total.examples === 0) {
    throw dataErrors.LF_DATA_NO_ROWS({ source: files.join(', '), reason: 'the files hold no rows' });
  }
  writer.finish(key, {
    files,
    format: format.id,
    formatReason: detection.reason,
    rows: total.rows,
    examples: total.examples,
    rejected: { rows: total.rejected, first },
    tokens: total.tokens,
    targets: total.targets,
    maskedShare: 1 - total.targets / total.tokens,
    lengths: summariseLengths(lengths.numbers),
    stops: total.stops,
    splitPrompts: total.splitPrompts,
    preview,
  });
}

/**
 * The rows of a file in tasks. `sent` receives the number of rows of each task.
 * A format that worker threads cannot load reads its rows here.
 */
async function* tasksOf(
  batches: AsyncIterable<readonly RawRow[]>,
  format: DatasetFormat,
  reading: ReadingOptions,
  withPreview: boolean,
  sent: number[],
): AsyncGenerator<TokeniseTask> {
  let rows: TaskRow[] = [];
  let bytes = 0;
  let preview = withPreview ? 3 : 0;
  const task = (): TokeniseTask => {
    sent.push(rows.length);
    const made = { rows, preview };
    rows = [];
    bytes = 0;
    preview = 0;
    return made;
  };
  for await (const batch of batches) {
    for (const row of batch) {
      rows.push(format.module === undefined ? readHere(row, format, reading) : row);
      bytes += row.text.length;
      if (rows.length >= taskRows || bytes >= taskBytes) yield task();
    }
  }
  if (rows.length > 0) yield task();
}

function readHere(row: RawRow, format: DatasetFormat, reading: ReadingOptions): TaskRow {
  if (row.problem !== undefined) return row;
  const result = readRow(row.text, format, reading);
  if ('examples' in result) return { row: row.row, line: row.line, examples: result.examples };
  return { ...row, text: '', problem: result.field === '' ? result.reason : `${result.field}: ${result.reason}` };
}

/** Stops when too many rows are unusable; before the end only when it is plain already. */
function refuseTooManyRejected(
  total: { rows: number; rejected: number },
  first: readonly (RejectedRow & { file: string })[],
  limit: number,
  atEnd: boolean,
): void {
  const share = limit < 1;
  const tooMany = share ? total.rejected > limit * total.rows : total.rejected > limit;
  if (!tooMany || (share && !atEnd && total.rows < 10_000)) return;
  throw dataErrors.LF_DATA_REJECTED_ROWS({
    rejected: total.rejected,
    rows: total.rows,
    limit: share ? `${100 * limit} %` : String(limit),
    first: first.map(describeRejected),
  });
}
