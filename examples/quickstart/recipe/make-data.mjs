/**
 * Writes the task's rows: data/train.jsonl, data/heldout.jsonl and data/fewshot.jsonl (training rows that are shown to the
 * base model when it is scored before fine-tuning). Run again, it writes the same bytes.
 *
 *   node make-data.mjs --trial <folder>
 *
 * writes train.jsonl and heldout.jsonl of training rows alone, cut again, to try out recipes without the held-out rows.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random } from './random.mjs';
import { calls, makeRow, makeRows } from './task.mjs';

const TRAIN_ROWS = 6000;
const HELD_OUT_ROWS = 200;

/** One training row for each call. */
function fewShot(random) {
  const rows = new Map();
  while (rows.size < Object.keys(calls).length) {
    const { row } = makeRow(random, 'shown');
    const { call } = JSON.parse(row.messages[1].content);
    if (!rows.has(call)) rows.set(call, row);
  }
  return [...rows.values()];
}

const lines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const rowsOf = (seed, part, count) => lines(makeRows(new Random(seed), part, count).map(({ row }) => row));

/** The files by name; those of a trial hold no held-out row. */
export function makeFiles({ trial = false } = {}) {
  return {
    'train.jsonl': rowsOf(11, trial ? 'fit' : 'train', TRAIN_ROWS),
    'heldout.jsonl': rowsOf(12, trial ? 'validation' : 'heldOut', HELD_OUT_ROWS),
    ...(trial ? {} : { 'fewshot.jsonl': lines(fewShot(new Random(13))) }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const trial = process.argv[2] === '--trial';
  const folder = trial ? process.argv[3] : fileURLToPath(new URL('../data', import.meta.url));
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(makeFiles({ trial }))) writeFileSync(join(folder, name), text);
}
