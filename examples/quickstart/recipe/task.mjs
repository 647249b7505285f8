import {
  adjectives,
  chores,
  days,
  devices,
  foods,
  groceries,
  lists,
  names,
  news,
  nouns,
  rooms,
  split,
} from './lexicon.mjs';

/**
 * The task: an everyday command in, one strict JSON call out. Each call lists its slots and the sentence patterns of
 * the training rows and, apart from them, of the held-out rows.
 */
const titles = (part) =>
  adjectives
    .flatMap((a, i) => nouns.map((n, j) => ({ text: `${a} ${n}`, held: (i * 7 + j) % 4 === 1 })))
    .filter((title) => title.held === (part === 'heldOut'))
    .map((title) => title.text);
const range = (from, to, part) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((n) => (n % 4 === 1) === (part === 'heldOut'));

const words = (list) => (part) => split(list)[part];

export const calls = [
  {
    name: 'add_item',
    slots: { item: words(groceries), list: words(lists) },
    train: [
      'add {item} to the {list} list',
      'put {item} on the {list} list',
      'add {item} to my {list} list please',
      'please put {item} on my {list} list',
      'we need {item}, add it to the {list} list',
      'can you add {item} to the {list} list',
      'I am out of {item}, put it on the {list} list',
      'on the {list} list, write {item}',
      'write {item} on our {list} list',
      'the {list} list needs {item}',
    ],
    heldOut: [
      'could you put {item} on the {list} list for me',
      'please note {item} on our {list} list',
      'we are out of {item}, so add it to my {list} list',
      "don't forget {item} for the {list} list",
    ],
  },
  {
    name: 'set_timer',
    slots: { minutes: (part) => range(2, 90, part), label: words(foods) },
    train: [
      'set a timer for {minutes} minutes for the {label}',
      'set a {minutes} minute timer for the {label}',
      'timer for the {label}, {minutes} minutes',
      'start a timer of {minutes} minutes for the {label}',
      'the {label} needs {minutes} minutes, set a timer',
      'please time the {label} for {minutes} minutes',
      'can you set a {label} timer for {minutes} minutes',
      '{minutes} minutes on the timer for the {label}',
      'give the {label} {minutes} minutes',
      'wake me in {minutes} minutes for the {label}',
    ],
    heldOut: [
      'could you start a {minutes} minute timer for the {label}',
      'I need a timer for the {label} of {minutes} minutes',
      'the {label} takes {minutes} minutes, please time it',
      'please set the timer to {minutes} minutes for the {label}',
    ],
  },
  {
    name: 'send_message',
    slots: { to: words(names), text: words(news) },
    train: [
      'tell {to} that {text}',
      'send {to} a message that {text}',
      'message {to} that {text}',
      'let {to} know that {text}',
      'please tell {to} {text}',
      'write to {to} that {text}',
      'send a message to {to} saying {text}',
      'can you tell {to} that {text}',
      'inform {to} that {text}',
      '{to} should know that {text}',
    ],
    heldOut: [
      'could you let {to} know {text}',
      'please write {to} a message saying {text}',
      'send word to {to} that {text}',
      'I want {to} to know that {text}',
    ],
  },
  {
    name: 'play',
    slots: { title: titles, room: words(rooms) },
    train: [
      'play {title} in the {room}',
      'put on {title} in the {room}',
      'start {title} in the {room}',
      'please play {title} in the {room}',
      'in the {room}, play {title}',
      'can you play {title} in the {room}',
      'play the song {title} in the {room}',
      'I want to hear {title} in the {room}',
      'let us hear {title} in the {room}',
      'the {room} needs music, play {title}',
    ],
    heldOut: [
      'could you put {title} on in the {room}',
      'I would like to hear {title} in the {room}',
      'play me {title} in the {room} please',
      'start the song {title} in the {room}',
    ],
  },
  {
    name: 'switch',
    slots: { device: words(devices), room: words(rooms), state: () => ['on', 'off'] },
    train: [
      'turn {state} the {device} in the {room}',
      'switch {state} the {device} in the {room}',
      'turn the {device} in the {room} {state}',
      'switch the {room} {device} {state}',
      'please turn {state} the {room} {device}',
      'can you turn the {room} {device} {state}',
      'in the {room}, turn the {device} {state}',
      'the {device} in the {room} should be {state}',
      'turn {state} the {room} {device} please',
      '{device} {state} in the {room}',
    ],
    heldOut: [
      'could you switch the {device} in the {room} {state}',
      'please switch {state} the {device} in the {room}',
      'I want the {room} {device} {state}',
      'in the {room}, switch {state} the {device}',
    ],
  },
  {
    name: 'set_reminder',
    slots: { what: words(chores), day: words(days), hour: (part) => range(6, 23, part) },
    train: [
      'remind me to {what} on {day} at {hour}',
      'on {day} at {hour}, remind me to {what}',
      'set a reminder to {what} on {day} at {hour}',
      'please remind me on {day} at {hour} to {what}',
      'I have to {what} on {day} at {hour}, remind me',
      'can you remind me to {what} at {hour} on {day}',
      'reminder for {day} at {hour}: {what}',
      'make a reminder for {day} at {hour} to {what}',
      'do not let me forget to {what} on {day} at {hour}',
      '{day} at {hour} I must {what}, remind me',
    ],
    heldOut: [
      'could you remind me at {hour} on {day} to {what}',
      'please set a reminder for {day} at {hour} to {what}',
      'I must {what} on {day} at {hour}, so remind me',
      'at {hour} on {day}, remind me to {what}',
    ],
  },
  {
    name: 'set_temperature',
    slots: { room: words(rooms), degrees: (part) => range(12, 30, part) },
    train: [
      'set the {room} to {degrees} degrees',
      'make the {room} {degrees} degrees',
      'heat the {room} to {degrees} degrees',
      'please set the temperature in the {room} to {degrees}',
      'I want {degrees} degrees in the {room}',
      'can you set the {room} to {degrees} degrees',
      'the {room} should be {degrees} degrees',
      'warm the {room} up to {degrees} degrees',
      'in the {room}, set {degrees} degrees',
      'bring the {room} to {degrees} degrees',
    ],
    heldOut: [
      'could you make the {room} {degrees} degrees',
      'please heat the {room} to {degrees} degrees',
      'set the temperature of the {room} to {degrees} degrees',
      'I would like the {room} at {degrees} degrees',
    ],
  },
];

/** One row: `{ messages, call, pattern }`, from the given part ('train' or 'heldOut') of every list and pattern. */
export function makeRow(random, part) {
  const call = random.pick(calls);
  const pattern = random.pick(call[part]);
  const values = Object.fromEntries(
    Object.entries(call.slots).map(([slot, choices]) => [slot, random.pick(choices(part))]),
  );
  const command = pattern.replace(/\{(\w+)\}/g, (_, slot) => String(values[slot]));
  const answer = JSON.stringify({ call: call.name, ...values });
  return {
    pattern: `${call.name}: ${pattern}`,
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
