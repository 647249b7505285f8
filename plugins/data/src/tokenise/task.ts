import type { DatasetFormat, Example, ReadingOptions, Verdict } from '../formats/format.js';
import { type RejectedRow, readRow } from '../formats/read-row.js';
import type { RawRow } from '../reading/raw-row.js';
import type { PreviewPiece } from '../report.js';
import { type TokenColumns, verdicts } from '../store/shard.js';
import type { RowTokenizer } from './row-tokenizer.js';
import { type TrainOn, tokeniseExample } from './tokenise-example.js';

/** A row on its way to the tokenizer: still text, or already read where its format cannot be loaded by a worker. */
export type TaskRow = RawRow | { readonly row: number; readonly line: number; readonly examples: readonly Example[] };

export interface TokeniseTask {
  readonly rows: readonly TaskRow[];
  /** Examples to show as text. */
  readonly preview: number;
}

export interface TokeniseResult extends TokenColumns {
  readonly rejected: readonly RejectedRow[];
  readonly targets: number;
  readonly stops: number;
  readonly splitPrompts: number;
  readonly preview: readonly (readonly PreviewPiece[])[];
}

export interface TaskSetting {
  readonly tokenizer: RowTokenizer;
  readonly format: DatasetFormat | undefined;
  readonly reading: ReadingOptions;
  readonly trainOn: TrainOn;
}

/** A tokenised example. */
interface Piece {
  readonly tokens: Int32Array;
  readonly mask: Uint8Array;
  readonly line: number;
  readonly verdict: Verdict | undefined;
  readonly split: boolean;
  readonly targets: number;
}

/** Reads and tokenises some rows. What is wrong with a row, in any of its examples, rejects that row alone. */
export async function runTask(task: TokeniseTask, setting: TaskSetting): Promise<TokeniseResult> {
  const { tokenizer } = setting;
  const pieces: Piece[] = [];
  const rejected: RejectedRow[] = [];
  const preview: PreviewPiece[][] = [];
  let [targets, stops, splitPrompts] = [0, 0, 0];
  // All at once: the tokenizer works on threads of its own, and waiting for it row by row costs more than its work.
  const outcomes = await Promise.all(task.rows.map((source) => piecesOf(source, setting)));
  for (const outcome of outcomes) {
    if ('reason' in outcome) {
      rejected.push(outcome);
      continue;
    }
    for (const piece of outcome.pieces) {
      pieces.push(piece);
      targets += piece.targets;
      if (endsWithStop(piece.tokens, piece.mask, tokenizer.eosTokenIds)) stops++;
      if (piece.split) splitPrompts++;
      if (preview.length < task.preview) preview.push(await previewOf(piece.tokens, piece.mask, tokenizer));
    }
  }
  return { ...columnsOf(pieces), rejected, targets, stops, splitPrompts, preview };
}

/** The examples of a row, or what is wrong with it. */
async function piecesOf(source: TaskRow, setting: TaskSetting): Promise<{ pieces: Piece[] } | RejectedRow> {
  const { row, line } = source;
  const reading = read(source, setting);
  if ('reason' in reading) return { row, line, field: reading.field, reason: reading.reason };
  try {
    return { pieces: await Promise.all(reading.examples.map((example) => tokenised(example, line, setting))) };
  } catch (error) {
    return { row, line, field: '', reason: (error as Error).message };
  }
}

/** @throws Error saying why nothing can be learnt from the example */
async function tokenised(example: Example, line: number, { tokenizer, trainOn }: TaskSetting): Promise<Piece> {
  const { tokens, mask, split } = await tokeniseExample(example, tokenizer, trainOn);
  const targets = countTargets(mask);
  if (targets === 0) throw new Error('nothing in it is a target of the loss');
  return { tokens, mask, line, verdict: example.verdict, split, targets };
}

function read(source: TaskRow, setting: TaskSetting) {
  if ('examples' in source) return { examples: source.examples };
  if (source.problem !== undefined) return { field: '', reason: source.problem };
  if (!setting.format) throw new Error('rows that are text need the format');
  return readRow(source.text, setting.format, setting.reading);
}

function columnsOf(pieces: readonly Piece[]): TokenColumns {
  const total = pieces.reduce((sum, piece) => sum + piece.tokens.length, 0);
  const columns = {
    offsets: new Int32Array(pieces.length + 1),
    tokens: new Int32Array(total),
    mask: new Uint8Array(total),
    lines: new Uint32Array(pieces.length),
    verdicts: Uint8Array.from(pieces, (piece) => verdicts.indexOf(piece.verdict)),
  };
  let at = 0;
  for (const [i, piece] of pieces.entries()) {
    columns.tokens.set(piece.tokens, at);
    columns.mask.set(piece.mask, at);
    columns.lines[i] = piece.line;
    at += piece.tokens.length;
    columns.offsets[i + 1] = at;
  }
  return columns;
}

/** The first token is no target: nothing stands before it. */
function countTargets(mask: Uint8Array): number {
  let count = 0;
  for (let t = 1; t < mask.length; t++) count += mask[t] as number;
  return count;
}

/** Whether a stop token is among the last targets; templates may count a line break behind it to the turn. */
function endsWithStop(tokens: Int32Array, mask: Uint8Array, stop: readonly number[]): boolean {
  let seen = 0;
  for (let t = mask.length - 1; t >= 0 && seen < 3; t--) {
    if (mask[t] === 0) continue;
    if (stop.includes(tokens[t] as number)) return true;
    seen++;
  }
  return false;
}

async function previewOf(tokens: Int32Array, mask: Uint8Array, tokenizer: RowTokenizer): Promise<PreviewPiece[]> {
  const pieces: PreviewPiece[] = [];
  const end = Math.min(tokens.length, 2048);
  for (let from = 0; from < end; ) {
    let to = from + 1;
    while (to < end && mask[to] === mask[from]) to++;
    const text = await tokenizer.decode(tokens.subarray(from, to), { skipSpecialTokens: false });
    pieces.push({ text, trained: mask[from] === 1 });
    from = to;
  }
  return pieces;
}
