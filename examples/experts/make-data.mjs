/**
 * Writes this example's data from the quickstart's: `node examples/experts/make-data.mjs`. The same bytes every time.
 *
 * Two experts share the quickstart's calls: `notes` keeps lists, reminders and messages, `home` runs the house. Each is trained on its
 * own calls alone. The router learns from other rows of both, and from questions that neither answers.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const expertOf = {
  add_item: 'notes',
  set_reminder: 'notes',
  set_timer: 'notes',
  send_message: 'notes',
  play: 'home',
  switch: 'home',
  set_temperature: 'home',
};
const rowsPerExpert = 1500;
const routingRowsPerExpert = 300;

const read = (file) =>
  readFileSync(new URL(file, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const write = (file, rows) =>
  writeFileSync(new URL(`data/${file}`, import.meta.url), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
const expertOfRow = ({ messages }) => expertOf[JSON.parse(messages.at(-1).content).call];
const routed = (row) => ({ text: row.messages.find(({ role }) => role === 'user').content, expert: expertOfRow(row) });

const openings = ['who', 'why', 'what is', 'when was', 'how far is', 'where is', 'tell me about', 'explain'];
const subjects = [
  'the first president',
  'gravity',
  'the largest ocean',
  'a prime number',
  'the moon',
  'photosynthesis',
  'the roman empire',
  'the speed of sound',
  'jazz',
  'a black hole',
  'the longest river',
  'inflation',
  'the pacific',
  'mercury',
];
const questions = openings.flatMap((opening) =>
  subjects.map((subject) => ({ text: `${opening} ${subject}`, expert: null })),
);

const training = read('../quickstart/data/train.jsonl');
for (const expert of ['home', 'notes']) {
  write(`${expert}.jsonl`, training.filter((row) => expertOfRow(row) === expert).slice(0, rowsPerExpert));
}
const late = ['home', 'notes'].flatMap((expert) =>
  training.filter((row) => expertOfRow(row) === expert).slice(-routingRowsPerExpert),
);
write('routing.jsonl', [...late.map(routed), ...questions.filter((_, i) => i % 3 !== 0)]);
write('routing-test.jsonl', [
  ...read('../quickstart/data/heldout.jsonl').map(routed),
  ...questions.filter((_, i) => i % 3 === 0),
]);
