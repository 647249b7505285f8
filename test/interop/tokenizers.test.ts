import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PhiloxStream, readGguf, readModelSource, readTokenizerFiles, Tokenizer } from '@largeforge/engine';
import { beforeAll, describe, expect, it } from 'vitest';
import { ggufTokenizer } from '../../engine/src/formats/gguf-tokenizer/read.js';
import { miniLm, python, smolLm2, temporaryFolder, testData } from './environment.js';

const json = <T>(path: string) => JSON.parse(readFileSync(testData(path), 'utf8')) as T;
const ofGguf = (name: string) => {
  const path = testData(`tokenizer-vectors/vocab-gguf/ggml-vocab-${name}.gguf`);
  return Tokenizer.from(ggufTokenizer(readGguf(path))!, path);
};
const bare = { addSpecialTokens: false };

/** llama.cpp's own vectors: texts, and the ids that Hugging Face's tokenizer of the model gives them. */
function vectors(name: string): { texts: string[]; ids: number[][] } {
  const file = (end: string) =>
    readFileSync(testData(`tokenizer-vectors/vocab-vectors/ggml-vocab-${name}.gguf.${end}`), 'utf8');
  const ids = file('out')
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => (line.trim() === '' ? [] : line.trim().split(/\s+/).map(Number)));
  const texts = file('inp').split('\n__ggml_vocab_test__\n');
  return { texts: texts.slice(0, ids.length), ids };
}

describe("llama.cpp's vectors", () => {
  it.each(['gpt-2', 'falcon', 'mpt', 'phi-3', 'bert-bge'])('%s, by the vocabulary of its GGUF file', async (name) => {
    const tokenizer = ofGguf(name);
    const { texts, ids } = vectors(name);
    expect(ids.length).toBeGreaterThan(40);
    for (const [i, text] of texts.entries()) {
      expect([...(await tokenizer.encode(text, bare))], JSON.stringify(text)).toEqual(ids[i]);
    }
  });

  it("mpt's, by a tokenizer.json of GPT-NeoX", async () => {
    const path = testData('tokenizers/olmo/allenai_gpt-neox-olmo-dolma-v1_5.json');
    const tokenizer = Tokenizer.from({ tokenizer: JSON.parse(readFileSync(path, 'utf8')), config: {} }, path);
    const { texts, ids } = vectors('mpt');
    for (const [i, text] of texts.entries()) {
      expect([...(await tokenizer.encode(text, bare))], JSON.stringify(text)).toEqual(ids[i]);
    }
  });
});

describe('vectors that transformers made, by vocabularies from GGUF', () => {
  it.each([
    ['gpt-2', 'openai-community__gpt2'],
    ['phi-3', 'TinyLlama__TinyLlama-1.1B-Chat-v1.0'],
    ['bert-bge', 'BAAI__bge-small-en-v1.5'],
  ])('%s: 30 texts of many scripts, as %s', async (name, file) => {
    const tokenizer = ofGguf(name);
    const folder = 'tokenizers/swift-transformers/multilingual';
    const { inputs } = json<{ inputs: { id: string; text: string }[] }>(`${folder}/inputs.json`);
    const { entries } = json<{ entries: Record<string, { input_ids: number[] }> }>(`${folder}/${file}.json`);
    expect(inputs.length).toBe(30);
    for (const { id, text } of inputs) expect([...(await tokenizer.encode(text))], id).toEqual(entries[id]!.input_ids);
  });

  it.each([
    ['gpt-2', 'distilgpt2'],
    ['falcon', 'tiiuae/falcon-7b'],
    ['phi-3', 'coreml-projects/Llama-2-7b-chat-coreml'],
    ['bert-bge', 'bert-base-uncased'],
  ])('%s: the cases of %s', async (name, model) => {
    const tokenizer = ofGguf(name);
    const cases = json<Record<string, { input: string; encoded: { input_ids: number[] } }[]>>(
      'tokenizers/swift-transformers/tokenizer_tests.json',
    )[model]!;
    for (const { input, encoded } of cases) {
      expect([...(await tokenizer.encode(input))], JSON.stringify(input)).toEqual(encoded.input_ids);
    }
  });
});

/** Texts of everything that cuts tokens: scripts, emoji, runs of white space, control characters, numbers. */
function randomTexts(count: number, special: readonly string[]): string[] {
  const random = new PhiloxStream(17, 1);
  const pick = <T>(list: readonly T[]) => list[random.below(list.length)]!;
  const pieces = [
    ...'abcdefghij XYZ \t\n\r  .,;:!?\'"()[]{}<>|/\\@#$%^&*-_=+~`0123456789',
    ...['Hello', ' world', "don't", 'naïve', 'e\u0301', 'ß', 'İ', 'ﬁ', '  ', '   ', '\n\n', '\r\n', '\u00a0', '\u3000'],
    ...['你好', '日本語', 'かな', '한국어', 'مرحبا', 'שלום', 'हिन्दी', 'ไทย', 'Ελλάδα', 'Привет', '\u200b', '\u200d'],
    ...['😀', '👩‍👩‍👧', '🇩🇪', '𝕏', '\u0000', '\u0007', '\u0085', '\ufeff', '\ufffd', '▁', '##', 'Ġ', '<', '>'],
    ...['1234', '3.14', '1,000,000', '0x1F', 'camelCase', 'snake_case', 'https://a.b/c?d=e&f', '```js\nlet x;\n```'],
    ...special,
  ];
  return Array.from({ length: count }, () => Array.from({ length: 1 + random.below(24) }, () => pick(pieces)).join(''));
}

const WEATHER = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Weather of a place, "now"',
    parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
  },
};
const system = { role: 'system', content: 'You are brief. <b>&amp;</b>' };
const user = { role: 'user', content: '  What is  2+2?\n' };
const assistant = { role: 'assistant', content: "It's 4 — 四" };
const CHATS = [
  { messages: [user], prompt: true },
  { messages: [system, user], prompt: true },
  { messages: [system, user, assistant, user], prompt: true },
  { messages: [user, assistant, user, assistant], prompt: false },
];

describe('transformers, live', () => {
  const folder = temporaryFolder();
  const olmo = (file: string) => {
    const path = join(folder, file.replace('.json', ''));
    return { path, source: testData(`tokenizers/olmo/${file}`) };
  };
  const subjects: { name: string; folder: string; gguf?: string; chats: object[]; special: string[] }[] = [];
  let answers: {
    texts: { ids: number[]; bare: number[]; decoded: string; skipped: string }[];
    chats: string[];
  }[];
  const TEXTS = 300;

  beforeAll(() => {
    const withTools = [...CHATS, { messages: [system, user], prompt: true, tools: [WEATHER] }];
    const minimind = dirname(testData('tokenizers/minimind/tokenizer.json'));
    subjects.push(
      { name: 'minimind', folder: minimind, chats: withTools, special: ['<|im_start|>', '<|im_end|>', '<think>'] },
      { name: 'minilm', folder: miniLm(), chats: [], special: ['[CLS]', '[SEP]', '[MASK]', '[UNK]'] },
      {
        name: 'smollm2',
        folder: dirname(smolLm2()),
        gguf: basename(smolLm2()),
        chats: CHATS,
        special: ['<|im_start|>', '<|im_end|>', '<|endoftext|>'],
      },
    );
    for (const file of ['allenai_dolma2.json', 'allenai_gpt-neox-olmo-dolma-v1_5.json']) {
      const own = temporaryFolder();
      copyFileSync(olmo(file).source, join(own, 'tokenizer.json'));
      writeFileSync(join(own, 'tokenizer_config.json'), '{"tokenizer_class": "PreTrainedTokenizerFast"}');
      subjects.push({ name: file, folder: own, chats: [], special: ['<|endoftext|>', '|||IP_ADDRESS|||'] });
    }
    const jobs = subjects.map(({ special, ...job }) => ({ ...job, texts: randomTexts(TEXTS, special) }));
    writeFileSync(join(folder, 'jobs.json'), JSON.stringify(jobs));
    python('tokenizers_reference.py', join(folder, 'jobs.json'), join(folder, 'out.json'));
    answers = JSON.parse(readFileSync(join(folder, 'out.json'), 'utf8'));
  });

  it.each(['minimind', 'minilm', 'smollm2', 'allenai_dolma2.json', 'allenai_gpt-neox-olmo-dolma-v1_5.json'])(
    '%s encodes, decodes and renders alike',
    async (name) => {
      const index = subjects.findIndex((subject) => subject.name === name);
      const subject = subjects[index]!;
      const theirs = answers[index]!;
      const tokenizer = subject.gguf
        ? Tokenizer.of(readModelSource(join(subject.folder, subject.gguf)))
        : Tokenizer.from(readTokenizerFiles(subject.folder)!, subject.folder);
      const texts = randomTexts(TEXTS, subject.special);
      for (const [i, text] of texts.entries()) {
        const expected = theirs.texts[i]!;
        const what = JSON.stringify(text);
        expect([...(await tokenizer.encode(text))], what).toEqual(expected.ids);
        expect([...(await tokenizer.encode(text, bare))], what).toEqual(expected.bare);
        expect(await tokenizer.decode(expected.ids, { skipSpecialTokens: false }), what).toBe(expected.decoded);
        expect(await tokenizer.decode(expected.ids, { skipSpecialTokens: true }), what).toBe(expected.skipped);
      }
      for (const [i, chat] of (subject.chats as typeof CHATS).entries()) {
        const { tools } = chat as { tools?: object[] };
        const rendered = tokenizer.applyChatTemplate(chat.messages, {
          addGenerationPrompt: chat.prompt,
          tools,
        } as never);
        expect(rendered).toBe(theirs.chats[i]);
      }
    },
  );
});
