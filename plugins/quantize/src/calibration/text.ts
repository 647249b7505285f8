import { readFileSync } from 'node:fs';
import { reasonOf } from '@largeforge/core';
import type { Tokenizer } from '@largeforge/engine';
import { quantizeErrors } from '../errors.js';

export interface CalibrationOptions {
  /** Windows. */
  readonly samples: number;
  /** Tokens of a window. */
  readonly sequenceLength: number;
  /** Draws windows at random; the first ones in order unless given. */
  readonly seed?: number | undefined;
}

export interface CalibrationTokens {
  /** For the statistics. */
  readonly windows: Int32Array[];
  /** Windows of the same text that are not among them, in order. */
  readonly rest: Int32Array[];
}

/**
 * Reads a calibration text, tokenises it as one without special tokens, and cuts it into windows. A .jsonl file has
 * documents in `text`, joined by an empty line, or conversations in `messages`, put through the chat template.
 */
export async function readCalibration(
  file: string,
  tokenizer: Tokenizer,
  options: CalibrationOptions,
): Promise<CalibrationTokens> {
  const tokens = await tokenizer.encode(readCalibrationText(file, tokenizer), { addSpecialTokens: false });
  return cutWindows(file, tokens, options);
}

/** The text of a calibration file; without a tokenizer conversations are only looked at. */
export function readCalibrationText(file: string, tokenizer?: Tokenizer): string {
  const fail = (reason: string, cause?: unknown) =>
    quantizeErrors.LF_QUANTIZE_CALIBRATION_FILE({ file, reason }, cause === undefined ? {} : { cause });
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (cause) {
    throw fail(reasonOf(cause), cause);
  }
  if (!file.endsWith('.jsonl')) return content;
  const documents = content.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    let row: { text?: unknown; messages?: unknown };
    try {
      row = JSON.parse(line);
    } catch (cause) {
      throw fail(`line ${index + 1} is no JSON`, cause);
    }
    if (typeof row?.text === 'string') return [row.text];
    if (Array.isArray(row?.messages)) {
      if (!tokenizer) return [''];
      return [tokenizer.applyChatTemplate(row.messages as never)];
    }
    throw fail(`line ${index + 1} has neither a string "text" nor a list "messages"`);
  });
  return documents.join('\n\n');
}

function cutWindows(
  file: string,
  tokens: Int32Array,
  { samples, sequenceLength: length, seed }: CalibrationOptions,
): CalibrationTokens {
  const count = Math.floor(tokens.length / length);
  if (count < samples) {
    throw quantizeErrors.LF_QUANTIZE_CALIBRATION_SHORT({ file, tokens: tokens.length, wanted: samples, length });
  }
  const order = Array.from({ length: count }, (_, i) => i);
  if (seed !== undefined) shuffle(order, seed);
  const windows = order.map((i) => tokens.slice(i * length, (i + 1) * length));
  return { windows: windows.slice(0, samples), rest: windows.slice(samples) };
}

/** Fisher-Yates with a linear congruential generator: the same seed gives the same windows everywhere. */
function shuffle(order: number[], seed: number): void {
  let state = seed >>> 0;
  for (let i = order.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
}
