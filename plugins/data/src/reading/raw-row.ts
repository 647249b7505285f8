/** The text of one row, before it is parsed. */
export interface RawRow {
  /** Index in the file, from 1. */
  readonly row: number;
  /** Line where it begins, from 1. */
  readonly line: number;
  readonly text: string;
  /** Why the text cannot be used, when it cannot: too long, not UTF-8. */
  readonly problem?: string;
}

export interface RowLimits {
  /** Rows of more bytes are not read. */
  readonly maxRowBytes: number;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The row that these bytes are. */
export function rawRow(row: number, line: number, bytes: Uint8Array): RawRow {
  try {
    return { row, line, text: decoder.decode(bytes) };
  } catch {
    return { row, line, text: '', problem: 'not valid UTF-8' };
  }
}

export function tooLong(row: number, line: number, { maxRowBytes }: RowLimits): RawRow {
  return { row, line, text: '', problem: `longer than ${maxRowBytes.toLocaleString('en-US')} bytes (maxRowBytes)` };
}
