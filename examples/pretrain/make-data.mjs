/**
 * Writes this example's documents from the quickstart's data: `node examples/pretrain/make-data.mjs`. The same bytes every
 * time. The domain is protocols of a house (what was said, and the call that it became), the general text what people say.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const rows = readFileSync(new URL('../quickstart/data/train.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const said = ({ messages }) => messages.find(({ role }) => role === 'user').content;

const documents = (count, from, linesOf) =>
  Array.from({ length: count }, (_, d) => ({
    text: rows
      .slice(from + 6 * d, from + 6 * d + 4 + (d % 3))
      .map(linesOf)
      .join('\n'),
  }));
const write = (file, values) => {
  mkdirSync(new URL('data/', import.meta.url), { recursive: true });
  writeFileSync(new URL(`data/${file}`, import.meta.url), values.map((value) => `${JSON.stringify(value)}\n`).join(''));
};
write(
  'protocols.jsonl',
  documents(150, 0, (row) => `"${said(row)}" => ${row.messages.at(-1).content}`),
);
write('general.jsonl', documents(150, 1000, said));
