import { dataErrors } from '../errors.js';
import { type DatasetFormat, renameColumns } from './format.js';

export interface Detection {
  readonly format: DatasetFormat;
  /** Why it was taken, for people. */
  readonly reason: string;
}

/** Rows from the beginning of a data set, parsed, and how their fields are named. */
interface Sample {
  readonly rows: readonly unknown[];
  readonly columns: Readonly<Record<string, string>>;
  /** Where they are from, for messages. */
  readonly source: string;
}

/**
 * The format that most of the sampled rows look like; of equals, the first.
 * @param preferred formats that the reader of the rows can use: any that fits goes before all others
 * @throws LF_DATA_FORMAT_UNKNOWN that lists the fields found and the formats known
 */
export function detectFormat(
  sample: Sample,
  formats: readonly DatasetFormat[],
  preferred: readonly DatasetFormat[] = formats,
): Detection {
  const { rows, columns, source } = sample;
  const objects = rows.map((row) => renameColumns(row, columns)).filter(isRecord);
  const best = likeliest(objects, rows.length, preferred) ?? likeliest(objects, rows.length, formats);
  if (best) return best;
  const fields = [...new Set(objects.flatMap((row) => Object.keys(row)))];
  throw dataErrors.LF_DATA_FORMAT_UNKNOWN({
    source,
    fields: fields.length > 0 ? fields.slice(0, 20) : [],
    known: formats.map((format) => `${format.id} (${format.fields})`),
  });
}

function likeliest(
  objects: readonly Readonly<Record<string, unknown>>[],
  rows: number,
  formats: readonly DatasetFormat[],
): Detection | undefined {
  let best: { detection: Detection; rows: number } | undefined;
  for (const format of formats) {
    const reasons = objects.map((row) => format.recognise(row)).filter((reason) => reason !== undefined);
    const reason = reasons[0];
    if (reason === undefined || reasons.length <= (best?.rows ?? 0)) continue;
    const share = reasons.length === rows ? '' : ` (${reasons.length} of the first ${rows} rows)`;
    best = { detection: { format, reason: `${reason}${share}` }, rows: reasons.length };
  }
  return best?.detection;
}

function isRecord(row: unknown): row is Record<string, unknown> {
  return typeof row === 'object' && row !== null && !Array.isArray(row);
}
