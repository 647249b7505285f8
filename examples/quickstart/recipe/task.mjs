import { endings, openings, patterns } from './patterns.mjs';
import { slots } from './values.mjs';

/** The task: an everyday command in, one strict JSON call out. The slots of each call, in the order of the JSON. */
export const calls = {
  add_item: ['item', 'list'],
  set_timer: ['minutes', 'label'],
  send_message: ['to', 'text'],
  play: ['title', 'room'],
  switch: ['device', 'room', 'state'],
  set_reminder: ['what', 'day', 'hour'],
  set_temperature: ['room', 'degrees'],
};

/** A sentence pattern of the part: what training rows are made of is never what the other parts use. */
function patternOf(random, name, part) {
  const { requests, statements, validation, heldOut } = patterns[name];
  if (part === 'heldOut') return random.pick(heldOut);
  if (part === 'validation') return random.pick(validation);
  const cores = part === 'fit' ? [...requests, ...statements] : [...requests, ...statements, ...validation];
  for (;;) {
    const core = random.pick(cores);
    const pattern = requests.includes(core) ? random.pick(openings) + core + random.pick(endings) : core;
    if (!heldOut.includes(pattern)) return pattern;
  }
}

/**
 * One row: `{ pattern, values, row }`, from the given part of every list and of the patterns: `train`, `heldOut`, or, to
 * try out recipes, `fit` and `validation`.
 */
export function makeRow(random, part) {
  const name = random.pick(Object.keys(calls));
  const pattern = patternOf(random, name, part);
  const values = Object.fromEntries(calls[name].map((slot) => [slot, slots[slot](random, part)]));
  const command = pattern.replace(/\{(\w+)\}/g, (_, slot) => String(values[slot]));
  const answer = JSON.stringify({ call: name, ...values });
  return {
    pattern: `${name}: ${pattern}`,
    values,
    row: {
      messages: [
        { role: 'user', content: command },
        { role: 'assistant', content: answer },
      ],
    },
  };
}

/** `count` rows with different commands. */
export function makeRows(random, part, count) {
  const seen = new Set();
  const rows = [];
  while (rows.length < count) {
    const made = makeRow(random, part);
    const command = made.row.messages[0].content;
    if (seen.has(command)) continue;
    seen.add(command);
    rows.push(made);
  }
  return rows;
}
