/**
 * Writes the task's rows: data/train.jsonl, data/heldout.jsonl and data/fewshot.jsonl (training rows that are shown to the
 * base model when it is scored before fine-tuning). Run again, it writes the same bytes.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Random } from './random.mjs';
import { calls, makeRow, makeRows } from './task.mjs';

const TRAIN_ROWS = 3000;
const HELD_OUT_ROWS = 200;

/** One training row for each call. */
function fewShot(random) {
  const rows = new Map();
  while (rows.size < calls.length) {
    const { row } = makeRow(random, 'train');
    const { call } = JSON.parse(row.messages[1].content);
    if (!rows.has(call)) rows.set(call, row);
  }
  return [...rows.values()];
}

const folder = new URL('../data/', import.meta.url);
const write = (name, rows) =>
  writeFileSync(new URL(name, folder), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));

mkdirSync(folder, { recursive: true });
write(
  'train.jsonl',
  makeRows(new Random(11), 'train', TRAIN_ROWS).map((made) => made.row),
);
write(
  'heldout.jsonl',
  makeRows(new Random(12), 'heldOut', HELD_OUT_ROWS).map((made) => made.row),
);
write('fewshot.jsonl', fewShot(new Random(13)));
