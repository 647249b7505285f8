import type { DataSet } from '@largeforge/core';
import { type FileOptions, readRows } from './data-file.js';
import type { RawRow } from './raw-row.js';

/**
 * Reads files through a transformation of their parsed rows. A row that is no JSON is passed around it, so that the
 * report still names it. Rows are counted anew: their lines are not those of the file.
 */
export function transformedRows(transform: (rows: DataSet) => Promise<DataSet>, format: string) {
  return async function* (file: string, options: FileOptions): AsyncGenerator<RawRow[]> {
    const damaged: RawRow[] = [];
    async function* parsedRows(): AsyncGenerator<unknown> {
      for await (const batch of readRows(file, options)) {
        for (const row of batch) {
          try {
            if (row.problem !== undefined) throw new SyntaxError(row.problem);
            yield JSON.parse(row.text);
          } catch {
            damaged.push(row);
          }
        }
      }
    }
    const { rows } = await transform({ source: file, format, rows: parsedRows() });
    let count = 0;
    for await (const row of rows) {
      count++;
      yield [...damaged.splice(0), { row: count, line: count, text: JSON.stringify(row) ?? 'null' }];
    }
    if (damaged.length > 0) yield damaged;
  };
}
