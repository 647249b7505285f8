/**
 * Checks that the quickstart does not deceive itself, from the files as they are committed:
 *  - no held-out row shares an object, a value or a sentence pattern with a training row (a slot with a handful of
 *    possible values, such as on and off, is exempt and listed);
 *  - the base corpus, made again from its recipe, holds neither a call of the task nor any sentence of a held-out pattern.
 * Prints what it counted; exits with 1 when something is shared.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BASE_DOCUMENTS, BASE_SEED } from './base-settings.mjs';
import { makeDocument } from './corpus.mjs';
import { patterns } from './patterns.mjs';
import { Random } from './random.mjs';

/** Slots whose values cannot be held out: there are only these. */
const CLOSED_SLOTS = new Set(['switch.state']);

const read = (name) =>
  readFileSync(new URL(`../data/${name}`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** The command with each value replaced by the name of its slot: its sentence pattern. */
function patternOf(command, call) {
  let pattern = command;
  const slots = Object.entries(call).filter(([slot]) => slot !== 'call');
  // Longer values first: "brown rice" before "rice".
  slots.sort((a, b) => String(b[1]).length - String(a[1]).length);
  for (const [slot, value] of slots) pattern = pattern.replace(String(value), `{${slot}}`);
  return `${call.call}: ${pattern}`;
}

function describe(rows) {
  const patterns = new Set();
  const values = new Set();
  const commands = new Set();
  for (const { messages } of rows) {
    const command = messages[0].content;
    const call = JSON.parse(messages[1].content);
    commands.add(command);
    patterns.add(patternOf(command, call));
    for (const [slot, value] of Object.entries(call)) {
      if (slot !== 'call' && !CLOSED_SLOTS.has(`${call.call}.${slot}`)) values.add(`${call.call}.${slot}=${value}`);
    }
  }
  return { patterns, values, commands };
}

/** Finds sentences of the held-out patterns, whatever stands in their slots. */
function patternFinders() {
  return Object.values(patterns).flatMap(({ heldOut }) =>
    heldOut.map((pattern) => {
      const literals = pattern.split(/\{\w+\}/).map((text) => text.toLowerCase());
      const source = literals.map((text) => text.replace(/[^\w\s]/g, '\\$&')).join('[^.!?"\\n]{1,40}?');
      return {
        pattern,
        longest: literals.reduce((a, b) => (b.length > a.length ? b : a)),
        found: new RegExp(`\\b${source}\\b`),
      };
    }),
  );
}

/** Looks through the base corpus; returns what it should not hold. */
export function searchCorpus(documents) {
  const random = new Random(BASE_SEED);
  const finders = patternFinders();
  const found = [];
  for (let i = 0; i < documents; i++) {
    const text = makeDocument(random).toLowerCase();
    if (text.includes('"call":')) found.push(`a call in document ${i}`);
    for (const { pattern, longest, found: expression } of finders) {
      if (text.includes(longest) && expression.test(text)) found.push(`"${pattern}" in document ${i}`);
    }
  }
  return found;
}

export function checkSplit(documents = BASE_DOCUMENTS) {
  const train = describe([...read('train.jsonl'), ...read('fewshot.jsonl')]);
  const heldOut = describe(read('heldout.jsonl'));
  const shared = [
    ...[...heldOut.patterns].filter((pattern) => train.patterns.has(pattern)).map((pattern) => `pattern ${pattern}`),
    ...[...heldOut.values].filter((value) => train.values.has(value)).map((value) => `value ${value}`),
    ...searchCorpus(documents),
  ];
  return { train, heldOut, shared };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { train, heldOut, shared } = checkSplit();
  const count = (part) => `${part.commands.size} commands, ${part.patterns.size} patterns, ${part.values.size} values`;
  console.log(`training: ${count(train)}\nheld out: ${count(heldOut)}\nexempt slots: ${[...CLOSED_SLOTS].join(', ')}`);
  console.log(`base corpus: ${BASE_DOCUMENTS} documents searched`);
  for (const what of shared.slice(0, 20)) console.log(`SHARED: ${what}`);
  console.log(shared.length === 0 ? 'nothing is shared' : `${shared.length} things are shared`);
  process.exitCode = shared.length === 0 ? 0 : 1;
}
