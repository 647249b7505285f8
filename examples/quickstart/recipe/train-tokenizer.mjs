/**
 * Byte-level BPE, trained on word counts (Sennrich et al. 2016, algorithm 1, on the bytes of GPT-2's alphabet), written
 * as a Hugging Face tokenizer.json. Digits stay single, so that a number that was never seen is spelt from known parts.
 */
const SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const WORD = /\d| ?[\p{L}]+| ?[^\s\p{L}\d]+|\s+/gu;

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteAlphabet() {
  const printable = [];
  for (let b = 33; b <= 126; b++) printable.push(b);
  for (let b = 161; b <= 172; b++) printable.push(b);
  for (let b = 174; b <= 255; b++) printable.push(b);
  const alphabet = new Array(256);
  let next = 256;
  for (let b = 0; b < 256; b++) alphabet[b] = String.fromCharCode(printable.includes(b) ? b : next++);
  return alphabet;
}

/** Trains on `texts` until the vocabulary holds `vocabSize` entries; ties go to the lexicographically smaller pair. */
export function trainTokenizer(texts, vocabSize) {
  const alphabet = byteAlphabet();
  const counts = new Map();
  for (const text of texts) {
    for (const word of text.match(WORD) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const words = [...counts].map(([word, count]) => ({
    parts: [...Buffer.from(word, 'utf8')].map((b) => alphabet[b]),
    count,
  }));
  const vocab = [...SPECIAL, ...alphabet];
  const merges = [];
  while (vocab.length < vocabSize) {
    const pairs = new Map();
    for (const { parts, count } of words) {
      for (let i = 0; i + 1 < parts.length; i++) {
        const pair = `${parts[i]} ${parts[i + 1]}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + count);
      }
    }
    let best;
    for (const [pair, count] of pairs) {
      if (!best || count > best.count || (count === best.count && pair < best.pair)) best = { pair, count };
    }
    if (!best || best.count < 2) break;
    const [left, right] = best.pair.split(' ');
    const joined = left + right;
    merges.push(best.pair);
    vocab.push(joined);
    for (const word of words) {
      for (let i = 0; i + 1 < word.parts.length; i++) {
        if (word.parts[i] === left && word.parts[i + 1] === right) word.parts.splice(i, 2, joined);
      }
    }
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
      merges: merges.map((pair) => pair.split(' ')),
    },
  };
}
