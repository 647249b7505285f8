import type { RejectedRow } from './formats/read-row.js';

/** A piece of a previewed row, as text; `trained` pieces are what the model learns to say. */
export interface PreviewPiece {
  readonly text: string;
  readonly trained: boolean;
}

/** What is known of a data set before anything is trained on it. Travels as the event `data.report`. */
export interface DataReport {
  readonly files: readonly string[];
  readonly format: string;
  /** Why this format was taken. */
  readonly formatReason: string;
  /** Rows of the files. */
  readonly rows: number;
  /** Examples that came of them; a row may give several. */
  readonly examples: number;
  readonly rejected: {
    readonly rows: number;
    /** The first of them. */
    readonly first: readonly (RejectedRow & { readonly file: string })[];
  };
  readonly tokens: number;
  /** Tokens that the loss counts. */
  readonly targets: number;
  /** Share of the tokens that are context only. */
  readonly maskedShare: number;
  readonly lengths: LengthSummary;
  /** Examples whose last target is a stop token. */
  readonly stops: number;
  /** Prompts that had to be tokenised apart from their completions. */
  readonly splitPrompts: number;
  readonly preview: readonly (readonly PreviewPiece[])[];
}

export interface LengthSummary {
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

/** What the limit on a row's length did. */
export interface LengthReport {
  readonly maxLength: number;
  readonly policy: 'error' | 'truncate' | 'drop' | 'split';
  /** Examples that were too long. */
  readonly overlong: number;
  /** Tokens and targets that are not trained on for it. */
  readonly tokensLost: number;
  readonly targetsLost: number;
  /** Rows that are left. */
  readonly rows: number;
}

export function summariseLengths(lengths: ArrayLike<number>): LengthSummary {
  if (lengths.length === 0) return { mean: 0, p50: 0, p95: 0, max: 0 };
  const sorted = Uint32Array.from(lengths).sort();
  // Nearest rank: the smallest length that at least this share of the rows does not exceed.
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
  let sum = 0;
  for (const length of sorted) sum += length;
  return { mean: sum / sorted.length, p50: at(0.5), p95: at(0.95), max: at(1) };
}

/** `data.json:21: row 3, conversations[1].value: expected string` */
export function describeRejected(row: RejectedRow & { readonly file: string }): string {
  return `${row.file}:${row.line}: row ${row.row}${row.field === '' ? '' : `, ${row.field}`}: ${row.reason}`;
}

const whole = (value: number) => value.toLocaleString('en-US');
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** The report as lines for people. */
export function reportLines(report: DataReport, length: LengthReport, name: string, cached: boolean): string[] {
  const { lengths, rejected } = report;
  const lines = [
    `${name}: ${whole(report.rows)} rows of ${report.files.join(', ')}, read as ${report.format} (${report.formatReason})` +
      `${cached ? ', tokenised before' : ''}`,
    `  ${whole(report.tokens)} tokens in ${whole(report.examples)} examples (median ${lengths.p50}, 95 % up to ` +
      `${lengths.p95}, longest ${lengths.max}); ${percent(1 - report.maskedShare)} are targets, ${percent(report.maskedShare)} context`,
  ];
  if (length.overlong > 0) {
    lines.push(
      `  ${whole(length.overlong)} examples are longer than ${length.maxLength} tokens; ${length.policy} loses ` +
        `${whole(length.targetsLost)} targets (${percent(length.targetsLost / report.targets)})`,
    );
  }
  if (rejected.rows > 0) {
    lines.push(`  ${whole(rejected.rows)} rows are left out; the first:`);
    for (const row of rejected.first.slice(0, 3)) lines.push(`    ${describeRejected(row)}`);
  }
  if (report.stops < report.examples) {
    lines.push(`  ${whole(report.examples - report.stops)} examples do not end with a stop token`);
  }
  if (report.splitPrompts > 0) {
    lines.push(`  ${whole(report.splitPrompts)} prompts end inside of a token and were tokenised apart`);
  }
  return lines;
}
