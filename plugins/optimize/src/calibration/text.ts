import { readFileSync } from 'node:fs';
import { reasonOf } from '@largeforge/core';
import type { Tokenizer } from '@largeforge/engine';
import { optimizeErrors } from '../errors.js';

/**
 * The text of a calibration file. A .jsonl file has documents in `text`, joined by an empty line, or conversations in
 * `messages`, put through the chat template; without a tokenizer conversations are only looked at.
 */
export function readCalibrationText(file: string, tokenizer?: Tokenizer): string {
  const fail = (reason: string, cause?: unknown) =>
    optimizeErrors.LF_OPTIMIZE_CALIBRATION_FILE({ file, reason }, cause === undefined ? {} : { cause });
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
