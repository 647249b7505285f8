/**
 * Writes the data of the examples dpo, orpo and kto from the quickstart's: `node examples/dpo/make-data.mjs`. The same bytes
 * every time. Of each request, the chosen answer is the right call; the rejected one is the right call of another request of
 * the same kind, or the right one without one of its values: mistakes that a half-trained model makes.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const pairs = 400;
const from = 3000;

const rows = readFileSync(new URL('../quickstart/data/train.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const answerOf = ({ messages }) => messages.at(-1).content;
const callOf = (row) => JSON.parse(answerOf(row)).call;

function rejected(row, i) {
  const own = JSON.parse(answerOf(row));
  const keys = Object.keys(own);
  if (i % 2 === 0 && keys.length > 2) {
    const without = { ...own };
    delete without[keys[1 + (i % (keys.length - 1))]];
    return JSON.stringify(without);
  }
  for (let other = i + 1; ; other++) {
    const candidate = rows[other % rows.length];
    if (callOf(candidate) === own.call && answerOf(candidate) !== answerOf(row)) return answerOf(candidate);
  }
}

const preferences = rows.slice(from, from + pairs).map((row, i) => ({
  prompt: row.messages.slice(0, -1),
  chosen: [{ role: 'assistant', content: answerOf(row) }],
  rejected: [{ role: 'assistant', content: rejected(row, from + i) }],
}));
const labels = preferences.flatMap(({ prompt, chosen, rejected }, i) =>
  // Judged alone: of some requests only the right answer was seen, of others only the wrong one.
  [
    { prompt, completion: chosen, label: true },
    { prompt, completion: rejected, label: false },
  ].filter((_, side) => (i + side) % 3 !== 0),
);

const write = (file, values) => {
  const path = new URL(file, import.meta.url);
  mkdirSync(new URL('.', path), { recursive: true });
  writeFileSync(path, values.map((value) => `${JSON.stringify(value)}\n`).join(''));
};
write('data/pairs.jsonl', preferences);
write('../kto/data/labels.jsonl', labels);
