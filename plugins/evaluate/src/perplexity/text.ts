import { evaluateErrors } from '../errors.js';
import { readTextFile } from '../text-file.js';

/**
 * The text of a file. A .jsonl file has one document a line, in `text`, joined by `separator`; any other file is one text
 * as it stands, line breaks and all.
 */
export function readText(file: string, separator: string): string {
  const content = readTextFile(file);
  if (!file.endsWith('.jsonl')) return content;
  return content
    .split('\n')
    .flatMap((line, index) => (line.trim() === '' ? [] : [textOf(line, file, index + 1)]))
    .join(separator);
}

function textOf(line: string, file: string, number: number): string {
  let row: { text?: unknown };
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw evaluateErrors.LF_EVALUATE_TEXT_ROW({ file, line: number, reason: (cause as Error).message }, { cause });
  }
  if (typeof row?.text !== 'string') {
    throw evaluateErrors.LF_EVALUATE_TEXT_ROW({ file, line: number, reason: 'there is no string "text"' });
  }
  return row.text;
}
