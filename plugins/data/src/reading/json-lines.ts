import { type RawRow, type RowLimits, rawRow, tooLong } from './raw-row.js';

const newline = 0x0a;

/**
 * Rows of a JSON Lines file: one a line, blank lines skipped, CRLF or LF. A bad line costs no other line.
 * @param chunks the file's bytes, without byte order mark
 */
export async function* jsonLines(chunks: AsyncIterable<Buffer>, limits: RowLimits): AsyncGenerator<RawRow[]> {
  let row = 0;
  let line = 1;
  let kept: Buffer[] = [];
  let keptBytes = 0;
  const finish = (bytes: Buffer): RawRow[] => {
    const long = keptBytes + bytes.length > limits.maxRowBytes;
    const whole = long || kept.length === 0 ? bytes : Buffer.concat([...kept, bytes]);
    kept = [];
    keptBytes = 0;
    const trimmed = whole.at(-1) === 0x0d ? whole.subarray(0, -1) : whole;
    if (!long && isBlank(trimmed)) return [];
    row++;
    return [long ? tooLong(row, line, limits) : rawRow(row, line, trimmed)];
  };
  for await (const chunk of chunks) {
    const rows: RawRow[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      rows.push(...finish(chunk.subarray(start, end)));
      line++;
      start = end + 1;
    }
    const rest = chunk.subarray(start);
    keptBytes += rest.length;
    // Beyond the limit only the length counts.
    if (keptBytes <= limits.maxRowBytes) kept.push(rest);
    else kept = [];
    if (rows.length > 0) yield rows;
  }
  const last = finish(Buffer.alloc(0));
  if (last.length > 0) yield last;
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}
