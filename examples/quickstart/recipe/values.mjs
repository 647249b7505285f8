import { invented } from './invented.mjs';
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
  objects,
  rooms,
  split,
} from './lexicon.mjs';

/**
 * What the slots of a call may hold. Rows of each part draw from their own share of the lexicon. Half of the values of
 * training rows are invented words, or known words put together anew, so that the model learns to copy what it is told
 * instead of learning the lexicon by heart; nothing that is held out is ever made that way.
 */
const INVENTED = 0.5;

const lexicon = [names, groceries, rooms, devices, chores, news, lists, foods];
const reserved = {
  train: new Set(lexicon.flatMap((list) => split(list).heldOut)),
  fit: new Set(lexicon.flatMap((list) => [...split(list).heldOut, ...split(list).validation])),
};

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const kinds = [
  'brown',
  'fresh',
  'dried',
  'frozen',
  'sweet',
  'dark',
  'salted',
  'small',
  'large',
  'old',
  'second',
  'upper',
];

/** A phrase of one or two words, at least one of them invented. */
function phrase(r, list) {
  const word = invented(r);
  if (r.chance(0.55)) return word;
  const known = r.pick(split(list).train).split(' ').at(-1);
  return r.pick([
    `${word} ${known}`,
    `${r.pick(kinds)} ${word}`,
    `${word} ${invented(r)}`,
    `${r.pick(kinds)} ${known}`,
  ]);
}

const verbs = [
  'clean',
  'check',
  'paint',
  'fix',
  'wash',
  'sell',
  'find',
  'carry',
  'move',
  'close',
  'lift',
  'sort',
  'hide',
];
const endings = [
  'is late',
  'is ready',
  'is here',
  'is broken',
  'is full',
  'was sold',
  'has gone',
  'fell down',
  'will rain',
];

function chore(r) {
  const thing = r.chance(0.5) ? invented(r) : r.pick(objects);
  return r.chance(0.8)
    ? `${r.pick(verbs)} the ${thing}`
    : `${r.pick(verbs)} ${r.pick(['a', 'my', 'our'])} ${thing} ${r.pick(['again', 'first', 'there'])}`;
}

function sentence(r) {
  const subject = r.pick([`the ${invented(r)}`, `the ${r.pick(objects)}`, `my ${invented(r)}`, capital(invented(r))]);
  return r.chance(0.7)
    ? `${subject} ${r.pick(endings)}`
    : `${subject} ${r.pick(['needs', 'has', 'wants'])} ${r.pick(['the', 'a', 'some'])} ${invented(r)}`;
}

/** A value from the part's share of a list or, for training rows, one that `make` invents. */
const open = (list, make) => (r, part) => {
  while (part in reserved && r.chance(INVENTED)) {
    const value = make(r);
    if (!reserved[part].has(value)) return value;
  }
  return r.pick(split(list)[part]);
};

/** Every fourth number is held out, and every fourth is kept for validation. */
const number = (from, to) => {
  const all = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  return (r, part) => r.pick(all.filter((n) => inPart(n, part)));
};

const inPart = (n, part) =>
  ({ heldOut: n % 4 === 1, validation: n % 4 === 3, train: n % 4 !== 1, shown: n % 4 !== 1, fit: n % 2 === 0 })[part];

const titleParts = adjectives.flatMap((a, i) => nouns.map((n, j) => ({ text: `${a} ${n}`, place: i * 7 + j })));

export const slots = {
  item: open(groceries, (r) => phrase(r, groceries)),
  list: open(lists, (r) => invented(r)),
  label: open(foods, (r) => phrase(r, foods)),
  minutes: number(2, 90),
  to: open(names, (r) => capital(invented(r))),
  text: open(news, sentence),
  // One word, or one word and "room", as the rooms of the lexicon are: where a room ends can be seen.
  room: open(rooms, (r) => (r.chance(0.5) ? `${invented(r)} room` : invented(r))),
  device: open(devices, (r) => phrase(r, devices)),
  state: (r) => r.pick(['on', 'off']),
  what: open(chores, chore),
  day: (r, part) => r.pick(split(days)[part]),
  hour: number(6, 23),
  degrees: number(12, 30),
  title(r, part) {
    const known = titleParts.filter(({ place }) => inPart(place, part)).map(({ text }) => text);
    if (part in reserved && r.chance(INVENTED)) {
      const [a, b] = [invented(r), invented(r)];
      return r.pick([`${a} ${b}`, `${r.pick(adjectives)} ${b}`, `${a} ${r.pick(nouns)}`, a]);
    }
    return r.pick(known);
  },
};
