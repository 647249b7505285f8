import { setMaxListeners } from 'node:events';
import { existsSync } from 'node:fs';
import { extname } from 'node:path';
import type { CheckContext, StepContext } from '@largeforge/core';
import { dataOptions, exampleRows, trainingData } from '@largeforge/data';
import {
  type CausalLanguageModel,
  datasetInHubCache,
  type ModelSource,
  permutation,
  streamOf,
  Tokenizer,
} from '@largeforge/engine';
import { optimizeErrors } from '../errors.js';
import { comparesText, type GateOptions } from '../gate/options.js';
import { type CalibrationSettings, type CalibrationSource, SELF } from './options.js';
import { ownTexts } from './self.js';
import { readCalibrationText } from './text.js';

type RunContext = Pick<StepContext, 'name' | 'outputDir' | 'resolvePath' | 'signal' | 'events' | 'kernel'>;

/** Windows of tokens, all of one length. */
export interface CalibrationTokens {
  /** For the statistics. */
  readonly windows: Int32Array[];
  /** Windows of the same text that are not among them, in order. */
  readonly rest: Int32Array[];
  /** For the report. */
  readonly described: { readonly source: string; readonly windows: number; readonly sequenceLength: number };
}

/**
 * Reads, or has the model write, the tokens of a calibration, and cuts them into windows: the first ones, or drawn with
 * `seed`. Throws LF_OPTIMIZE_SEQUENCE_LENGTH, _NO_TOKENIZER, _CALIBRATION_FILE or _CALIBRATION_SHORT.
 */
export async function calibrationWindows(
  context: RunContext,
  settings: CalibrationSettings,
  source: ModelSource,
  model: CausalLanguageModel,
): Promise<CalibrationTokens> {
  const { calibration, samples, sequenceLength: length, seed } = settings;
  const limit = model.config.maxPositions;
  if (length > limit) throw optimizeErrors.LF_OPTIMIZE_SEQUENCE_LENGTH({ length, limit });
  const tokenizer = tokenizerOf(source);
  const name = typeof calibration === 'string' ? calibration : calibration.paths.join(', ');
  const described = { source: name, windows: samples, sequenceLength: length };
  if (calibration === SELF && !existsSync(context.resolvePath(SELF))) {
    // A few windows more: what is not calibrated on, the gate compares on.
    const all = samples + Math.min(8, samples);
    setMaxListeners(0, context.signal);
    const run = { windows: all, length, seed: seed ?? 0, signal: context.signal };
    const texts = await ownTexts(model, tokenizer, run, (current) =>
      context.events.emit({ type: 'progress', task: context.name, current, total: all, unit: 'texts written' }),
    );
    return { windows: texts.slice(0, samples), rest: texts.slice(samples), described };
  }
  const tokens = await tokensOf(context, calibration, tokenizer, limit);
  const windows = cut(tokens, length);
  if (windows.length < samples) {
    throw optimizeErrors.LF_OPTIMIZE_CALIBRATION_SHORT({ file: name, tokens: tokens.length, wanted: samples, length });
  }
  const order = seed === undefined ? undefined : permutation(windows.length, seed, streamOf('split'));
  const ordered = order ? Array.from(order, (index) => windows[index]!) : windows;
  return { windows: ordered.slice(0, samples), rest: ordered.slice(samples), described };
}

/**
 * Windows that models are compared on: of `gate.dataset`, or what is left of the calibration text.
 * Throws LF_OPTIMIZE_NOTHING_COMPARED when the gate has limits and there are none.
 */
export async function comparedWindows(
  context: RunContext,
  { gate, sequenceLength }: { readonly gate: GateOptions; readonly sequenceLength: number },
  source: ModelSource,
  calibration: CalibrationTokens | undefined,
): Promise<Int32Array[]> {
  const { dataset, windows } = gate;
  if (dataset === undefined) {
    const rest = calibration?.rest ?? [];
    if (comparesText(gate) && rest.length === 0) throw optimizeErrors.LF_OPTIMIZE_NOTHING_COMPARED();
    return rest.slice(0, windows);
  }
  const tokens = await tokensOf(context, dataset, tokenizerOf(source), sequenceLength);
  const all = cut(tokens, sequenceLength);
  if (all.length === 0) {
    const short = { file: dataset, tokens: tokens.length, wanted: 1, length: sequenceLength };
    throw optimizeErrors.LF_OPTIMIZE_CALIBRATION_SHORT(short);
  }
  return all.slice(0, windows);
}

/** Looks at the files of a calibration and a gate before anything runs; not at what an earlier step makes. */
export function checkCalibration(
  context: CheckContext,
  calibration: CalibrationSource | undefined,
  { dataset }: GateOptions,
): void {
  for (const source of [calibration, dataset]) {
    if (typeof source !== 'string' || source === SELF || context.comesLater(source)) continue;
    const file = context.resolvePath(source);
    if (!existsSync(file) && datasetInHubCache(source) !== undefined) continue;
    if (isText(file)) readCalibrationText(file);
  }
}

/** Files that are read as they are; others are data sets. */
const isText = (file: string) => !['.json', '.parquet'].includes(extname(file).toLowerCase());

async function tokensOf(
  context: RunContext,
  source: CalibrationSource,
  tokenizer: Tokenizer,
  maxLength: number,
): Promise<Int32Array> {
  if (typeof source === 'string') {
    const file = context.resolvePath(source);
    const cached = existsSync(file) ? undefined : datasetInHubCache(source);
    if (cached === undefined && isText(file)) {
      return tokenizer.encode(readCalibrationText(file, tokenizer), { addSpecialTokens: false });
    }
  }
  const options = typeof source === 'string' ? { paths: [datasetPath(context, source)] } : source;
  return datasetTokens(context, options, tokenizer, maxLength);
}

function datasetPath(context: RunContext, name: string): string {
  const file = context.resolvePath(name);
  return existsSync(file) ? file : datasetInHubCache(name)!;
}

/** Rows of a data set, tokenised and rendered as for training, end to end. */
async function datasetTokens(
  context: RunContext,
  options: Partial<Exclude<CalibrationSource, string>> & { readonly paths: readonly string[] },
  tokenizer: Tokenizer,
  maxLength: number,
): Promise<Int32Array> {
  const parsed = dataOptions.parse({ stopToken: 'ignore', overlong: 'split', ...options, maxLength });
  const data = await trainingData(context, tokenizer, parsed, exampleRows, 'calibration');
  try {
    const rows = await data.rows.read(Uint32Array.from({ length: data.rows.lengths.length }, (_, row) => row));
    const tokens = new Int32Array(rows.reduce((sum, row) => sum + row.tokens.length, 0));
    let at = 0;
    for (const row of rows) {
      tokens.set(row.tokens, at);
      at += row.tokens.length;
    }
    return tokens;
  } finally {
    data.close();
  }
}

function tokenizerOf(source: ModelSource): Tokenizer {
  if (!source.tokenizer) throw optimizeErrors.LF_OPTIMIZE_NO_TOKENIZER({ model: source.path });
  return Tokenizer.of(source);
}

function cut(tokens: Int32Array, length: number): Int32Array[] {
  const count = Math.floor(tokens.length / length);
  return Array.from({ length: count }, (_, i) => tokens.slice(i * length, (i + 1) * length));
}
