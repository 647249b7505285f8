import { jsonLines } from './json-lines.js';
import type { RawRow, RowLimits } from './raw-row.js';

/** What a document of a plain text file is, in the terms of Hugging Face's text loader. */
export type SampleBy = 'line' | 'paragraph' | 'document';

/**
 * Documents of a plain text file as rows of the `text` format: each line, each paragraph (ended by a blank line), or
 * the whole file.
 */
export async function* plainText(
  chunks: AsyncIterable<Buffer>,
  limits: RowLimits,
  sampleBy: SampleBy,
): AsyncGenerator<RawRow[]> {
  if (sampleBy === 'line') {
    for await (const lines of jsonLines(chunks, limits)) yield lines.map(asText);
    return;
  }
  let document: string[] = [];
  let first = 1;
  let line = 0;
  let row = 0;
  const finish = (): RawRow[] => {
    const text = document.join('\n');
    document = [];
    return text.trim() === '' ? [] : [asText({ row: ++row, line: first, text })];
  };
  let rest = '';
  const decoder = new TextDecoder('utf-8');
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() as string;
    const rows: RawRow[] = [];
    for (const text of lines.map((text) => (text.endsWith('\r') ? text.slice(0, -1) : text))) {
      line++;
      if (document.length === 0) first = line;
      if (sampleBy === 'paragraph' && text.trim() === '') rows.push(...finish());
      else document.push(text);
    }
    if (rows.length > 0) yield rows;
  }
  if (document.length === 0) first = line + 1;
  document.push(rest);
  const last = finish();
  if (last.length > 0) yield last;
}

function asText(row: RawRow): RawRow {
  return row.problem === undefined ? { ...row, text: JSON.stringify({ text: row.text }) } : row;
}
