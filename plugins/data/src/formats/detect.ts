import { dataErrors } from '../errors.js';
import { type DatasetFormat, renameColumns } from './format.js';

export interface Detection {
  readonly format: DatasetFormat;
  /** Why it was taken, for people. */
  readonly reason: string;
}

/**
 * The format that most of the sampled rows look like; of equals, the first.
 * @param rows rows from the beginning of the data, parsed
 * @throws LF_DATA_FORMAT_UNKNOWN that lists the fields found and the formats known
 */
export function detectFormat(
  rows: readonly unknown[],
  formats: readonly DatasetFormat[],
  columns: Readonly<Record<string, string>>,
  source: string,
): Detection {
  let best: { detection: Detection; rows: number } | undefined;
  const objects = rows.map((row) => renameColumns(row, columns)).filter(isRecord);
  for (const format of formats) {
    const reasons = objects.map((row) => format.recognise(row)).filter((reason) => reason !== undefined);
    const reason = reasons[0];
    if (reason === undefined || reasons.length <= (best?.rows ?? 0)) continue;
    const share = reasons.length === rows.length ? '' : ` (${reasons.length} of the first ${rows.length} rows)`;
    best = { detection: { format, reason: `${reason}${share}` }, rows: reasons.length };
  }
  if (best) return best.detection;
  const fields = [...new Set(objects.flatMap((row) => Object.keys(row)))];
  throw dataErrors.LF_DATA_FORMAT_UNKNOWN({
    source,
    fields: fields.length > 0 ? fields.slice(0, 20) : [],
    known: formats.map((format) => `${format.id} (${format.fields})`),
  });
}

function isRecord(row: unknown): row is Record<string, unknown> {
  return typeof row === 'object' && row !== null && !Array.isArray(row);
}
