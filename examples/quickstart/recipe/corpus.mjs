import {
  adjectives, animals, chores, cities, colours, days, devices, foods, groceries, jobs, lists, names, news, nouns, objects,
  rooms,
} from './lexicon.mjs';

/**
 * The base corpus: short documents about a small household world. It teaches English sentences, who asked whom for what,
 * copying names and values from a text, answering questions, and JSON as a way to write facts down. It holds no command
 * paired with a call: turning a command into a call is the task that fine-tuning teaches.
 */
const title = (r) => `${r.pick(adjectives)} ${r.pick(nouns)}`;
const article = (word) => (/^[aeiou]/.test(word) ? `an ${word}` : `a ${word}`);
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const chat = (turns) => `${turns.map(([role, text]) => `<|im_start|>${role}\n${text}<|im_end|>\n`).join('')}`;
const two = (r, list) => r.sample(list, 2);

/** Requests as stories tell them, with what came of them: the meaning of the words without any call. */
const requests = [
  (r) => { const [a, b] = two(r, names), d = r.pick(devices), m = r.pick(rooms), s = r.pick(['on', 'off']);
    const ask = r.pick([`turn ${s} the ${d} in the ${m}`, `switch the ${d} in the ${m} ${s}`, `turn the ${m} ${d} ${s}`, `switch ${s} the ${m} ${d}`]);
    return `"${r.pick(['Could you', 'Can you', 'Please', 'Would you'])} ${ask}", said ${a}. So ${b} went to the ${m} and turned the ${d} ${s}. Now the ${d} in the ${m} is ${s}.`; },
  (r) => { const [a, b] = two(r, names), i = r.pick(groceries), l = r.pick(lists);
    const ask = r.pick([`put ${i} on the ${l} list`, `add ${i} to the ${l} list`, `write ${i} on the ${l} list`, `note ${i} for the ${l} list`]);
    return `${a} asked ${b} to ${ask}. ${b} took a pen and wrote "${i}" on the ${l} list. The ${l} list now has ${i} on it.`; },
  (r) => { const [a, b, c] = r.sample(names, 3), n = r.pick(news);
    const ask = r.pick([`tell ${b} that ${n}`, `let ${b} know that ${n}`, `send ${b} a message saying ${n}`, `write to ${b} that ${n}`]);
    return `${a} wanted ${c} to ${ask}. ${c} wrote: "${n}". ${b} read it. Now ${b} knows that ${n}.`; },
  (r) => { const [a, b] = two(r, names), t = title(r), m = r.pick(rooms);
    const ask = r.pick([`play ${t} in the ${m}`, `put on ${t} in the ${m}`, `start ${t} in the ${m}`, `hear ${t} in the ${m}`]);
    return `"I would like to ${ask}", said ${a}. In the ${m}, ${b} found the song. It was called ${t}. They listened to ${t} in the ${m}.`; },
  (r) => { const a = r.pick(names), f = r.pick(foods), n = r.int(2, 90);
    return `${a} ${r.pick(['set a timer', 'started a timer', 'set the timer'])} for ${n} minutes for the ${f}. ${r.pick([`The ${f} took ${n} minutes`, `After ${n} minutes the ${f} was done`, `The ${f} needed ${n} minutes`])}.`; },
  (r) => { const [a, b] = two(r, names), c = r.pick(chores), d = r.pick(days), h = r.int(6, 23);
    return `${a} had to ${c} on ${d} at ${h}. "${r.pick(['Remind me', 'Please remind me', 'Do not let me forget'])}", said ${a}. On ${d} at ${h}, ${b} said: "${a}, you must ${c}."`; },
  (r) => { const a = r.pick(names), m = r.pick(rooms), n = r.int(12, 30);
    return `${a} ${r.pick(['set', 'heated', 'warmed'])} the ${m} to ${n} degrees. ${r.pick([`The temperature in the ${m} is ${n} degrees`, `It is ${n} degrees in the ${m}`, `The ${m} is at ${n} degrees now`])}.`; },
];

/** Facts with a question whose answer is copied from the text. Each gives text, question and answer. */
const facts = [
  (r) => { const a = r.pick(names), o = r.pick(objects), c = r.pick(colours), m = r.pick(rooms);
    return [`${a} put the ${c} ${o} in the ${m}.`, r.pick([[`Where is the ${c} ${o}?`, m], [`Who put the ${o} in the ${m}?`, a], [`What is in the ${m}?`, `the ${c} ${o}`], [`Which colour is the ${o}?`, c]])]; },
  (r) => { const a = r.pick(names), i = r.sample(groceries, 3);
    return [`${a} bought ${i[0]}, ${i[1]} and ${i[2]}.`, r.pick([['Who went shopping?', a], ['What was bought first?', i[0]], ['What was bought last?', i[2]], ['What did ' + a + ' buy?', `${i[0]}, ${i[1]} and ${i[2]}`]])]; },
  (r) => { const a = r.pick(names), j = r.pick(jobs), c = r.pick(cities), n = r.int(18, 80);
    return [`${a} is ${article(j)} from ${c} and is ${n} years old.`, r.pick([[`How old is ${a}?`, `${n}`], [`Where is ${a} from?`, c], [`What is the job of ${a}?`, j], ['Who is from ' + c + '?', a]])]; },
  (r) => { const a = r.pick(names), x = r.pick(animals), n = r.pick(names), c = r.pick(colours);
    return [`${a} has ${article(c)} ${x} called ${n}.`, r.pick([[`What is the ${x} called?`, n], [`Whose ${x} is it?`, a], [`What colour is ${n}?`, c], [`What animal is ${n}?`, x]])]; },
  (r) => { const a = r.pick(names), b = r.pick(names), n = r.pick(news);
    return [`${a} told ${b} that ${n}.`, r.pick([[`What did ${a} say?`, n], ['Who spoke?', a], [`What does ${b} know?`, n]])]; },
  (r) => { const a = r.pick(names), c = r.pick(chores), d = r.pick(days), h = r.int(6, 23);
    return [`On ${d} at ${h}, ${a} has to ${c}.`, r.pick([['On which day?', d], ['At what hour?', `${h}`], [`What does ${a} have to do?`, c], ['Who is busy?', a]])]; },
  (r) => { const t = title(r), a = r.pick(names), n = r.int(1950, 2020);
    return [`The song ${t} was written by ${a} in ${n}.`, r.pick([['Who wrote it?', a], ['What is the song called?', t], ['When was it written?', `${n}`]])]; },
  (r) => { const d = r.pick(devices), m = r.pick(rooms), s = r.pick(['on', 'off']);
    return [`The ${d} in the ${m} is ${s}.`, r.pick([[`Is the ${d} on or off?`, s], ['In which room?', m], [`What is ${s} in the ${m}?`, `the ${d}`]])]; },
  (r) => { const f = r.pick(foods), n = r.int(2, 90), a = r.pick(names);
    return [`${a} cooked the ${f} for ${n} minutes.`, r.pick([['How many minutes?', `${n}`], ['What was cooked?', `the ${f}`], ['Who cooked?', a]])]; },
];

/** A fact in words and the same fact as a record or as JSON: people, animals, towns, goods. Never a command. */
const records = [
  (r) => { const v = { name: r.pick(names), job: r.pick(jobs), city: r.pick(cities), age: r.int(18, 80) };
    return [r.pick([`${v.name}, ${article(v.job)} of ${v.age}, lives in ${v.city}.`, `In ${v.city} lives ${v.name}, who is ${v.age} and works as ${article(v.job)}.`, `${v.name} is ${v.age} years old. ${v.name} is ${article(v.job)} in ${v.city}.`]), v]; },
  (r) => { const v = { animal: r.pick(animals), name: r.pick(names), colour: r.pick(colours), owner: r.pick(names) };
    return [r.pick([`${v.owner} has ${article(v.colour)} ${v.animal} named ${v.name}.`, `The ${v.colour} ${v.animal} ${v.name} belongs to ${v.owner}.`, `${v.name} is the ${v.colour} ${v.animal} of ${v.owner}.`]), v]; },
  (r) => { const v = { product: r.pick(groceries), price: r.int(1, 40), city: r.pick(cities) };
    return [r.pick([`In ${v.city}, ${v.product} costs ${v.price} coins.`, `${capital(v.product)} is sold for ${v.price} coins in ${v.city}.`, `The price of ${v.product} in ${v.city} is ${v.price} coins.`]), v]; },
  (r) => { const v = { object: r.pick(objects), colour: r.pick(colours), place: r.pick(rooms) };
    return [r.pick([`${capital(article(v.colour))} ${v.object} lies in the ${v.place}.`, `There is ${article(v.colour)} ${v.object} in the ${v.place}.`, `In the ${v.place} you find ${article(v.colour)} ${v.object}.`]), v]; },
  (r) => { const v = { song: title(r), singer: r.pick(names), year: r.int(1950, 2020) };
    return [r.pick([`${v.singer} sang ${v.song} in ${v.year}.`, `The song ${v.song} by ${v.singer} is from ${v.year}.`, `In ${v.year}, ${v.singer} made ${v.song}.`]), v]; },
  (r) => { const v = { saying: r.pick(news), by: r.pick(names) };
    return [r.pick([`${v.by} said that ${v.saying}.`, `"${capital(v.saying)}", said ${v.by}.`, `According to ${v.by}, ${v.saying}.`]), v]; },
  (r) => { const v = { from: r.pick(cities), to: r.pick(cities), day: r.pick(days), hour: r.int(0, 23) };
    return [r.pick([`The train from ${v.from} to ${v.to} leaves on ${v.day} at ${v.hour}.`, `On ${v.day} at ${v.hour} a train goes from ${v.from} to ${v.to}.`]), v]; },
  (r) => { const v = { who: r.pick(names), does: r.pick(chores), day: r.pick(days) };
    return [r.pick([`On ${v.day}, ${v.who} likes to ${v.does}.`, `${v.who} will ${v.does} on ${v.day}.`]), v]; },
];

const asRecord = (r, values) => {
  const keys = r.chance(0.3) ? r.shuffle(Object.keys(values)) : Object.keys(values);
  const ordered = Object.fromEntries(keys.map((key) => [key, values[key]]));
  return r.chance(0.75) ? JSON.stringify(ordered) : keys.map((key) => `${key}: ${values[key]}`).join('; ');
};

/** Copying: what was said, said again. */
const copying = [
  (r) => { const t = r.pick([r.pick(groceries), r.pick(chores), r.pick(news), title(r), r.pick(devices)]); return `Say "${t}". ${r.pick(names)} said "${t}".`; },
  (r) => { const l = r.sample(r.pick([groceries, names, rooms, devices, objects, foods]), r.int(3, 6)), k = r.int(0, l.length - 1);
    return `List: ${l.join(', ')}. The ${['first', 'second', 'third', 'fourth', 'fifth', 'sixth'][k]} is ${l[k]}.`; },
  (r) => { const l = r.sample(r.pick([groceries, names, rooms, devices]), r.int(2, 5)); return `List: ${l.join(', ')}. As JSON: ${JSON.stringify(l)}`; },
  (r) => { const n = r.int(0, 99); return `${r.pick(names)} counted ${n}, ${n + 1}, ${n + 2}, ${n + 3}.`; },
  (r) => { const k = r.sample(['a', 'b', 'c', 'd', 'x', 'y'], 3), v = k.map(() => r.pick([r.int(0, 99), r.pick(colours), r.pick(rooms), r.pick(names)])), i = r.int(0, 2);
    const o = Object.fromEntries(k.map((key, j) => [key, v[j]])); return `In ${JSON.stringify(o)} the value of ${k[i]} is ${JSON.stringify(v[i])}.`; },
];

/** One document of the base corpus. */
export function makeDocument(r) {
  const kind = r.next();
  if (kind < 0.2) return Array.from({ length: r.int(1, 3) }, () => r.pick(requests)(r)).join(' ');
  if (kind < 0.42) {
    const made = Array.from({ length: r.int(1, 3) }, () => r.pick(facts)(r));
    const [question, answer] = r.pick(made)[1];
    const text = made.map((fact) => fact[0]).join(' ');
    return r.chance(0.5) ? chat([['user', `${text} ${question}`], ['assistant', answer]]) : `${text}\nQuestion: ${question}\nAnswer: ${answer}`;
  }
  if (kind < 0.82) {
    const make = r.pick(records);
    const turns = [];
    const lines = [];
    for (let i = r.int(1, 4); i > 0; i--) {
      const [text, values] = (r.chance(0.7) ? make : r.pick(records))(r);
      const record = asRecord(r, values);
      turns.push(['user', text], ['assistant', record]);
      lines.push(`${text}\n${record}`);
    }
    return r.chance(0.5) ? chat(turns) : lines.join('\n');
  }
  if (kind < 0.95) return Array.from({ length: r.int(1, 4) }, () => r.pick(copying)(r)).join('\n');
  return Array.from({ length: r.int(2, 4) }, () => r.pick(facts)(r)[0]).join(' ');
}
