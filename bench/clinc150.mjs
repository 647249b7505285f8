/** Queries of CLINC150 (Larson et al. 2019) for the benchmarks of the router. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const rowsPerIntent = 20;

/**
 * @param data a folder with clinc150/data_full.json
 * @returns rows to train and to validate on (a part of them: times don't depend on how many), the texts of the test rows,
 * the intents, and 50 experts of three intents and 200 keywords each
 */
export function clinc150(data) {
  const all = JSON.parse(readFileSync(join(data, 'clinc150/data_full.json'), 'utf8'));
  const seen = new Map();
  const train = all.train.flatMap(([text, expert]) => {
    const number = (seen.get(expert) ?? 0) + 1;
    seen.set(expert, number);
    return number <= rowsPerIntent ? [{ text, expert }] : [];
  });
  train.push(...all.oos_train.map(([text]) => ({ text, expert: null })));
  const intents = [...seen.keys()];
  return {
    train,
    validation: all.val.slice(0, 1000).map(([text, expert]) => ({ text, expert })),
    texts: all.test.map(([text]) => text),
    intents,
    fiftyExperts: Array.from({ length: 50 }, (_, i) => ({
      name: `expert-${i}`,
      domains: intents.slice(3 * i, 3 * i + 3),
      keywords: Array.from({ length: 200 }, (__, j) => ({ term: `keyword ${i} of ${j}`, weight: 1 })),
    })),
  };
}

/** Queries of just so many tokens, [CLS] and [SEP] counted, of the words of these texts. */
export async function queriesOf(texts, tokenizer, tokens, count) {
  const made = [];
  for (let at = 0; made.length < count; at++) {
    const words = [];
    for (let i = at * 7; words.length < tokens; i++) words.push(...texts[i % texts.length].split(' '));
    let text = words.join(' ');
    while ((await tokenizer.encode(text)).length > tokens) text = text.slice(0, text.lastIndexOf(' '));
    made.push(text);
  }
  return made;
}

export const percentile = (list, share) =>
  [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(share * list.length))];
export const median = (list) => percentile(list, 0.5);
