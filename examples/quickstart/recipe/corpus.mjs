import { invented } from './invented.mjs';
import {
  adjectives,
  animals,
  chores,
  cities,
  colours,
  days,
  devices,
  foods,
  groceries,
  jobs,
  lists,
  names,
  news,
  nouns,
  objects,
  rooms,
} from './lexicon.mjs';

/**
 * The base corpus: short documents about a small household world. It teaches English sentences, who asked whom for what,
 * copying names and values from a text, answering questions, and JSON as a way to write facts down. It holds no command
 * paired with a call: turning a command into a call is the task that fine-tuning teaches.
 */
/** A member of the list, or something invented in its place; two words now and then. */
function any(r, list) {
  if (!r.chance(0.45)) return r.pick(list);
  const word = /^[A-Z]/.test(list[0]) ? capital(invented(r)) : invented(r);
  if (r.chance(0.7)) return word;
  return r.chance(0.5) ? `${word} ${invented(r)}` : `${r.pick(adjectives)} ${word}`;
}
const some = (r, list, n) => Array.from({ length: n }, () => any(r, list));
const title = (r) =>
  r.chance(0.7) ? `${r.pick(adjectives)} ${r.pick(nouns)}` : `${any(r, adjectives)} ${any(r, nouns)}`;
const article = (word) => (/^[aeiou]/.test(word) ? `an ${word}` : `a ${word}`);
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const chat = (turns) => `${turns.map(([role, text]) => `<|im_start|>${role}\n${text}<|im_end|>\n`).join('')}`;

/** Requests as stories tell them, with what came of them: the meaning of the words without any call. */
const requests = [
  (r) => {
    const [a, b] = some(r, names, 2),
      d = any(r, devices),
      m = any(r, rooms),
      s = r.pick(['on', 'off']);
    const ask = r.pick([
      `turn ${s} the ${d} in the ${m}`,
      `switch the ${d} in the ${m} ${s}`,
      `turn the ${m} ${d} ${s}`,
      `switch ${s} the ${m} ${d}`,
    ]);
    return `"${r.pick(['Will you', 'Can you', 'Please', 'Would you'])} ${ask}", said ${a}. So ${b} went to the ${m} and turned the ${d} ${s}. Now the ${d} in the ${m} is ${s}.`;
  },
  (r) => {
    const [a, b] = some(r, names, 2),
      i = any(r, groceries),
      l = any(r, lists);
    const ask = r.pick([
      `put ${i} on the ${l} list`,
      `add ${i} to the ${l} list`,
      `write ${i} on the ${l} list`,
      `note ${i} for the ${l} list`,
    ]);
    return `${a} asked ${b} to ${ask}. ${b} took a pen and wrote "${i}" on the ${l} list. The ${l} list now has ${i} on it.`;
  },
  (r) => {
    const [a, b, c] = some(r, names, 3),
      n = any(r, news);
    const ask = r.pick([
      `tell ${b} that ${n}`,
      `let ${b} know that ${n}`,
      `send ${b} a message saying ${n}`,
      `write to ${b} that ${n}`,
    ]);
    return `${a} wanted ${c} to ${ask}. ${c} wrote: "${n}". ${b} read it. Now ${b} knows that ${n}.`;
  },
  (r) => {
    const [a, b] = some(r, names, 2),
      t = title(r),
      m = any(r, rooms);
    const ask = r.pick([
      `play ${t} in the ${m}`,
      `put on ${t} in the ${m}`,
      `start ${t} in the ${m}`,
      `hear ${t} in the ${m}`,
    ]);
    return `"We all want to ${ask}", said ${a}. In the ${m}, ${b} found the song. It was called ${t}. They listened to ${t} in the ${m}.`;
  },
  (r) => {
    const a = any(r, names),
      f = any(r, foods),
      n = r.int(2, 90);
    return `${a} ${r.pick(['set a timer', 'started a timer', 'set the timer'])} for ${n} minutes for the ${f}. ${r.pick([`The ${f} took ${n} minutes`, `After ${n} minutes the ${f} was done`, `The ${f} needed ${n} minutes`])}.`;
  },
  (r) => {
    const [a, b] = some(r, names, 2),
      c = any(r, chores),
      d = r.pick(days),
      h = r.int(6, 23);
    return `${a} had to ${c} on ${d} at ${h}. "${r.pick(['Remind me', 'Please remind me', 'Do not let me forget'])}", said ${a}. On ${d} at ${h}, ${b} said: "${a}, you must ${c}."`;
  },
  (r) => {
    const a = any(r, names),
      m = any(r, rooms),
      n = r.int(12, 30);
    return `${a} ${r.pick(['set', 'heated', 'warmed'])} the ${m} to ${n} degrees. ${r.pick([`The temperature in the ${m} is ${n} degrees`, `It is ${n} degrees in the ${m}`, `The ${m} is at ${n} degrees now`])}.`;
  },
];

/** Facts with a question whose answer is copied from the text. Each gives text, question and answer. */
const facts = [
  (r) => {
    const a = any(r, names),
      o = any(r, objects),
      c = any(r, colours),
      m = any(r, rooms);
    return [
      `${a} put the ${c} ${o} in the ${m}.`,
      r.pick([
        [`Where is the ${c} ${o}?`, m],
        [`Who put the ${o} in the ${m}?`, a],
        [`What is in the ${m}?`, `the ${c} ${o}`],
        [`Which colour is the ${o}?`, c],
      ]),
    ];
  },
  (r) => {
    const a = any(r, names),
      i = some(r, groceries, 3);
    return [
      `${a} bought ${i[0]}, ${i[1]} and ${i[2]}.`,
      r.pick([
        ['Who went shopping?', a],
        ['What was bought first?', i[0]],
        ['What was bought last?', i[2]],
        [`What did ${a} buy?`, `${i[0]}, ${i[1]} and ${i[2]}`],
      ]),
    ];
  },
  (r) => {
    const a = any(r, names),
      j = any(r, jobs),
      c = any(r, cities),
      n = r.int(18, 80);
    return [
      `${a} is ${article(j)} from ${c} and is ${n} years old.`,
      r.pick([
        [`How old is ${a}?`, `${n}`],
        [`Where is ${a} from?`, c],
        [`What is the job of ${a}?`, j],
        [`Who is from ${c}?`, a],
      ]),
    ];
  },
  (r) => {
    const a = any(r, names),
      x = any(r, animals),
      n = any(r, names),
      c = any(r, colours);
    return [
      `${a} has ${article(c)} ${x} called ${n}.`,
      r.pick([
        [`What is the ${x} called?`, n],
        [`Whose ${x} is it?`, a],
        [`What colour is ${n}?`, c],
        [`What animal is ${n}?`, x],
      ]),
    ];
  },
  (r) => {
    const a = any(r, names),
      b = any(r, names),
      n = any(r, news);
    return [
      `${a} told ${b} that ${n}.`,
      r.pick([
        [`What did ${a} say?`, n],
        ['Who spoke?', a],
        [`What does ${b} know?`, n],
      ]),
    ];
  },
  (r) => {
    const a = any(r, names),
      c = any(r, chores),
      d = r.pick(days),
      h = r.int(6, 23);
    return [
      `On ${d} at ${h}, ${a} has to ${c}.`,
      r.pick([
        ['On which day?', d],
        ['At what hour?', `${h}`],
        [`What does ${a} have to do?`, c],
        ['Who is busy?', a],
      ]),
    ];
  },
  (r) => {
    const t = title(r),
      a = any(r, names),
      n = r.int(1950, 2020);
    return [
      `The song ${t} was written by ${a} in ${n}.`,
      r.pick([
        ['Who wrote it?', a],
        ['What is the song called?', t],
        ['When was it written?', `${n}`],
      ]),
    ];
  },
  (r) => {
    const d = any(r, devices),
      m = any(r, rooms),
      s = r.pick(['on', 'off']);
    return [
      `The ${d} in the ${m} is ${s}.`,
      r.pick([
        [`Is the ${d} on or off?`, s],
        ['In which room?', m],
        [`What is ${s} in the ${m}?`, `the ${d}`],
      ]),
    ];
  },
  (r) => {
    const f = any(r, foods),
      n = r.int(2, 90),
      a = any(r, names);
    return [
      `${a} cooked the ${f} for ${n} minutes.`,
      r.pick([
        ['How many minutes?', `${n}`],
        ['What was cooked?', `the ${f}`],
        ['Who cooked?', a],
      ]),
    ];
  },
];

/** A fact in words and the same fact as a record or as JSON: people, animals, towns, goods. Never a command. */
const records = [
  (r) => {
    const v = { name: any(r, names), job: any(r, jobs), city: any(r, cities), age: r.int(18, 80) };
    return [
      r.pick([
        `${v.name}, ${article(v.job)} of ${v.age}, lives in ${v.city}.`,
        `In ${v.city} lives ${v.name}, who is ${v.age} and works as ${article(v.job)}.`,
        `${v.name} is ${v.age} years old. ${v.name} is ${article(v.job)} in ${v.city}.`,
      ]),
      v,
    ];
  },
  (r) => {
    const v = { animal: any(r, animals), name: any(r, names), colour: any(r, colours), owner: any(r, names) };
    return [
      r.pick([
        `${v.owner} has ${article(v.colour)} ${v.animal} named ${v.name}.`,
        `The ${v.colour} ${v.animal} ${v.name} belongs to ${v.owner}.`,
        `${v.name} is the ${v.colour} ${v.animal} of ${v.owner}.`,
      ]),
      v,
    ];
  },
  (r) => {
    const v = { product: any(r, groceries), price: r.int(1, 40), city: any(r, cities) };
    return [
      r.pick([
        `In ${v.city}, ${v.product} costs ${v.price} coins.`,
        `${capital(v.product)} is sold for ${v.price} coins in ${v.city}.`,
        `The price of ${v.product} in ${v.city} is ${v.price} coins.`,
      ]),
      v,
    ];
  },
  (r) => {
    const v = { object: any(r, objects), colour: any(r, colours), place: any(r, rooms) };
    return [
      r.pick([
        `${capital(article(v.colour))} ${v.object} lies in the ${v.place}.`,
        `There is ${article(v.colour)} ${v.object} in the ${v.place}.`,
        `In the ${v.place} you find ${article(v.colour)} ${v.object}.`,
      ]),
      v,
    ];
  },
  (r) => {
    const v = { song: title(r), singer: any(r, names), year: r.int(1950, 2020) };
    return [
      r.pick([
        `${v.singer} sang ${v.song} in ${v.year}.`,
        `The song ${v.song} by ${v.singer} is from ${v.year}.`,
        `In ${v.year}, ${v.singer} made ${v.song}.`,
      ]),
      v,
    ];
  },
  (r) => {
    const v = { saying: any(r, news), by: any(r, names) };
    return [
      r.pick([
        `${v.by} said that ${v.saying}.`,
        `"${capital(v.saying)}", said ${v.by}.`,
        `According to ${v.by}, ${v.saying}.`,
      ]),
      v,
    ];
  },
  (r) => {
    const v = { from: any(r, cities), to: any(r, cities), day: r.pick(days), hour: r.int(0, 23) };
    return [
      r.pick([
        `The train from ${v.from} to ${v.to} leaves on ${v.day} at ${v.hour}.`,
        `On ${v.day} at ${v.hour} a train goes from ${v.from} to ${v.to}.`,
      ]),
      v,
    ];
  },
  (r) => {
    const v = { who: any(r, names), does: any(r, chores), day: r.pick(days) };
    return [r.pick([`On ${v.day}, ${v.who} likes to ${v.does}.`, `${v.who} will ${v.does} on ${v.day}.`]), v];
  },
];

const asRecord = (r, values) => {
  const keys = r.chance(0.3) ? r.shuffle(Object.keys(values)) : Object.keys(values);
  const ordered = Object.fromEntries(keys.map((key) => [key, values[key]]));
  return r.chance(0.75) ? JSON.stringify(ordered) : keys.map((key) => `${key}: ${values[key]}`).join('; ');
};

/** Copying: what was said, said again. */
const copying = [
  (r) => {
    const t = r.pick([any(r, groceries), any(r, chores), any(r, news), title(r), any(r, devices)]);
    return `Say "${t}". ${any(r, names)} said "${t}".`;
  },
  (r) => {
    const l = some(r, r.pick([groceries, names, rooms, devices, objects, foods]), r.int(3, 6)),
      k = r.int(0, l.length - 1);
    return `List: ${l.join(', ')}. The ${['first', 'second', 'third', 'fourth', 'fifth', 'sixth'][k]} is ${l[k]}.`;
  },
  (r) => {
    const l = some(r, r.pick([groceries, names, rooms, devices]), r.int(2, 5));
    return `List: ${l.join(', ')}. As JSON: ${JSON.stringify(l)}`;
  },
  (r) => {
    const n = r.int(0, 99);
    return `${any(r, names)} counted ${n}, ${n + 1}, ${n + 2}, ${n + 3}.`;
  },
  (r) => {
    const k = r.sample(['a', 'b', 'c', 'd', 'x', 'y'], 3),
      v = k.map(() => r.pick([r.int(0, 99), any(r, colours), any(r, rooms), any(r, names)])),
      i = r.int(0, 2);
    const o = Object.fromEntries(k.map((key, j) => [key, v[j]]));
    return `In ${JSON.stringify(o)} the value of ${k[i]} is ${JSON.stringify(v[i])}.`;
  },
];

/** Literal words of made-up languages of forms: mostly small words, as sentences have them. */
const glue =
  'the,a,to,on,in,at,of,for,with,by,my,our,is,was,has,it,and,from,this,that,some,me,you,we,they,go,see,took,made,gave,near'.split(
    ',',
  );

/**
 * A made-up form: sentences of one pattern, which nobody has seen before, and the record that each of them stands for. What
 * goes where is told by nothing but the examples before; the values have to be copied.
 */
function form(r) {
  const keys = r.sample(
    ['what', 'who', 'where', 'size', 'kind', 'part', 'place', 'thing', 'name', 'mark', 'sort', 'side'],
    r.int(1, 3),
  );
  const ofKey = new Map(
    keys.map((key) => [
      key,
      r.pick([groceries, names, rooms, devices, objects, foods, news, chores, jobs, lists, 'number']),
    ]),
  );
  const words = () => Array.from({ length: r.int(0, 3) }, () => (r.chance(0.7) ? r.pick(glue) : invented(r)));
  const makePattern = () => [...r.shuffle(keys).flatMap((key) => [...words(), `{${key}}`]), ...words()].join(' ');
  const patterns = Array.from({ length: r.int(1, 2) }, makePattern);
  const asJson = r.chance(0.8);
  return Array.from({ length: r.int(3, 6) }, () => {
    const values = Object.fromEntries(
      keys.map((key) => [key, ofKey.get(key) === 'number' ? r.int(0, 99) : any(r, ofKey.get(key))]),
    );
    const text = r.pick(patterns).replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
    return [text, asJson ? JSON.stringify(values) : keys.map((key) => `${key}: ${values[key]}`).join('; ')];
  });
}

/** Words in no order that means anything, said again: whole, in part, or the word after another one. */
function recital(r) {
  const words = Array.from({ length: r.int(4, 10) }, () => (r.chance(0.6) ? invented(r) : r.pick(glue)));
  const text = words.join(' ');
  const at = r.int(0, words.length - 2);
  return r.pick([
    `"${text}" said ${any(r, names)}. "${text}"`,
    `${text}\n${text}`,
    `In "${text}", after ${words[at]} comes ${words[at + 1]}.`,
    `${text}\nWithout the first word: ${words.slice(1).join(' ')}`,
    `${text}\nFrom ${words[at]}: ${words.slice(at).join(' ')}`,
  ]);
}

/** One document of the base corpus. */
export function makeDocument(r) {
  const kind = r.next();
  if (kind < 0.14) return Array.from({ length: r.int(1, 3) }, () => r.pick(requests)(r)).join(' ');
  if (kind < 0.3) {
    const made = Array.from({ length: r.int(1, 3) }, () => r.pick(facts)(r));
    const [question, answer] = r.pick(made)[1];
    const text = made.map((fact) => fact[0]).join(' ');
    return r.chance(0.5)
      ? chat([
          ['user', `${text} ${question}`],
          ['assistant', answer],
        ])
      : `${text}\nQuestion: ${question}\nAnswer: ${answer}`;
  }
  if (kind < 0.58) {
    const make = r.pick(records);
    const turns = [];
    for (let i = r.int(1, 4); i > 0; i--) {
      const [text, values] = (r.chance(0.7) ? make : r.pick(records))(r);
      turns.push([text, asRecord(r, values)]);
    }
    return examples(r, turns);
  }
  if (kind < 0.8) return examples(r, form(r));
  if (kind < 0.9) return Array.from({ length: r.int(1, 4) }, () => r.pick(copying)(r)).join('\n');
  if (kind < 0.97) return Array.from({ length: r.int(1, 3) }, () => recital(r)).join('\n');
  return Array.from({ length: r.int(2, 4) }, () => r.pick(facts)(r)[0]).join(' ');
}

/** Texts with what they stand for: as a chat, or line by line. */
function examples(r, turns) {
  if (r.chance(0.5)) return turns.map(([text, record]) => `${text}\n${record}`).join('\n');
  return chat(
    turns.flatMap(([text, record]) => [
      ['user', text],
      ['assistant', record],
    ]),
  );
}
