import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { asyncBufferFromFile } from 'hyparquet/src/node.js';
import { compressors } from 'hyparquet-compressors';
import { dataErrors } from '../errors.js';
import { type RawRow, type RowLimits, tooLong } from './raw-row.js';

/** Rows that are decoded at a time; a row group may hold millions. */
const batchRows = 4096;

/**
 * Rows of a Parquet file, in batches. A row is passed on as the JSON that it would be in a JSON Lines file; its "line" is its
 * number.
 * @throws LF_DATA_FILE_UNREADABLE for what is no Parquet file, or is damaged
 */
export async function* parquetRows(path: string, limits: RowLimits): AsyncGenerator<RawRow[]> {
  const unreadable = (cause: unknown) =>
    dataErrors.LF_DATA_FILE_UNREADABLE({ path, reason: `as Parquet: ${(cause as Error).message}` }, { cause });
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file).catch((cause: unknown) => {
    throw unreadable(cause);
  });
  const total = Number(metadata.num_rows);
  for (let rowStart = 0; rowStart < total; rowStart += batchRows) {
    const rowEnd = Math.min(total, rowStart + batchRows);
    const rows = await parquetReadObjects({ file, metadata, compressors, rowStart, rowEnd }).catch((cause: unknown) => {
      throw unreadable(cause);
    });
    yield rows.map((value, i) => {
      const row = rowStart + i + 1;
      const text = JSON.stringify(value, plainValue);
      return text.length > limits.maxRowBytes ? tooLong(row, row, limits) : { row, line: row, text };
    });
  }
}

/** Parquet has whole numbers of 64 bits, and bytes; JSON has neither. */
function plainValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : value;
}
