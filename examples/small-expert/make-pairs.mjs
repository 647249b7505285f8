// Makes data/pairs.jsonl: for commands of the quickstart, the right call (chosen) beside one with a value of another command
// (rejected), which is the mistake that a model of this size makes most often.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const rows = readFileSync(here('../quickstart/data/train.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line).messages);

const pairs = [];
for (const [i, [user, assistant]] of rows.entries()) {
  if (pairs.length === 320) break;
  const right = JSON.parse(assistant.content);
  const keys = Object.keys(right).filter((key) => key !== 'call' && typeof right[key] === 'string');
  const other = rows.slice(i + 1).find(([, { content }]) => {
    const call = JSON.parse(content);
    return call.call === right.call && keys.length > 0 && call[keys[0]] !== right[keys[0]];
  });
  if (i % 7 !== 0 || !other) continue;
  const key = keys[pairs.length % keys.length];
  const wrong = { ...right, [key]: JSON.parse(other[1].content)[key] };
  if (wrong[key] === undefined || wrong[key] === right[key]) continue;
  const answer = (call) => [{ role: 'assistant', content: JSON.stringify(call) }];
  pairs.push({ prompt: [user], chosen: answer(right), rejected: answer(wrong) });
}
writeFileSync(here('data/pairs.jsonl'), pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(''));
