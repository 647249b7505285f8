/** Tokens of a query that a sentence encoder reads, its marks of beginning and end counted. */
export const maxTokens = 24;

/** Share of them that is read of the end of a longer query. */
const tailShare = 1 / 4;

/** A token is hardly ever longer: what cannot be read need not be cut into tokens. */
const charactersOfToken = 16;

export type Tokenize = (text: string) => Int32Array | Promise<Int32Array>;

/**
 * The tokens that are read of a text, [begin] ... [end], at most `limit` of them. Of a longer text these are its first ones
 * and its last ones, where people mostly say what they want (Sun et al. 2019, "How to Fine-Tune BERT for Text
 * Classification?", section 5.3.1: better than the beginning alone).
 * @param tokenize gives [begin] tokens [end]; it may stop after `limit` tokens
 */
export function excerpt(text: string, limit: number, tokenize: Tokenize): Int32Array | Promise<Int32Array> {
  const reach = limit * charactersOfToken;
  const withEnd = (head: Int32Array): Int32Array | Promise<Int32Array> => {
    if (head.length <= limit && text.length <= reach) return head;
    const tail = tokenize(endOf(text, limit));
    return tail instanceof Int32Array ? joined(head, tail, limit) : tail.then((last) => joined(head, last, limit));
  };
  const head = tokenize(text.slice(0, reach));
  return head instanceof Int32Array ? withEnd(head) : head.then(withEnd);
}

/** Enough of a text's end for the tokens that are read of it, from the beginning of a word. */
function endOf(text: string, limit: number): string {
  const from = text.length - tailOf(limit) * charactersOfToken;
  if (from <= 0) return text;
  const end = text.slice(from);
  return end.slice(Math.max(0, end.search(/\s/)));
}

/** At least the mark of the end. */
const tailOf = (limit: number): number => Math.max(1, Math.floor(limit * tailShare));

function joined(head: Int32Array, tail: Int32Array, limit: number): Int32Array {
  const last = tail.subarray(1).slice(-tailOf(limit));
  const first = head.subarray(0, -1).subarray(0, limit - last.length);
  const ids = new Int32Array(first.length + last.length);
  ids.set(first);
  ids.set(last, first.length);
  return ids;
}
