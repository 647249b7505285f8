import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataSet } from '@largeforge/core';
import type { Tokenizer, TokenRow } from '@largeforge/engine';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { builtInFormats } from './formats/index.js';
import { dataOptions } from './options.js';
import { type PreparedData, prepareData } from './prepare.js';
import { exampleRows, judgedRows, pairRows, type RowShape } from './row-shape.js';
import { workerPool } from './tokenise/pool.js';
import { letterTokenizer } from './tokenise/word-tokenizer.fixture.js';

let folder: string;
let opened: PreparedData<TokenRow>[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-data-'));
  opened = [];
});
afterEach(() => {
  for (const data of opened) data.close();
  rmSync(folder, { recursive: true });
});

const jsonLines = (...rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const row = (prompt: string, completion: string) => ({ prompt, completion });

interface Wanted {
  readonly options?: Record<string, unknown>;
  readonly tokenizer?: Tokenizer;
  readonly transform?: (rows: DataSet) => Promise<DataSet>;
}

async function prepare(text: string, { options = {}, tokenizer = letterTokenizer(), transform }: Wanted = {}) {
  const path = join(folder, 'rows.jsonl');
  writeFileSync(path, text);
  const data = await prepareData({
    options: dataOptions.parse({ paths: path, ...options }),
    tokenizer,
    shape: exampleRows,
    cacheFolder: join(folder, 'cache'),
    formats: builtInFormats,
    openPool: (setting) => workerPool(setting, 1, new AbortController().signal),
    ...(transform ? { transform } : {}),
    onProgress: () => {},
  });
  opened.push(data);
  return data;
}

async function texts({ rows }: PreparedData<TokenRow>): Promise<string[]> {
  const read = (await rows.read(Array.from({ length: rows.lengths.length }, (_, i) => i))) as TokenRow[];
  const tokenizer = letterTokenizer();
  return Promise.all(read.map(({ tokens }) => tokenizer.decode(tokens, { skipSpecialTokens: false })));
}

describe('prepared data', () => {
  it('keep the order of the files and report what they are', async () => {
    const rows = Array.from({ length: 600 }, (_, i) => row('q', 'abcdefghij'.slice(0, 1 + (i % 10))));
    const data = await prepare(jsonLines(...rows));
    const read = await texts(data);
    expect(read.length).toBe(600);
    expect(read.slice(0, 3)).toEqual(['<s>qa</s>', '<s>qab</s>', '<s>qabc</s>']);
    expect(read[599]).toBe('<s>qabcdefghij</s>');
    expect(data.report).toMatchObject({
      format: 'prompt-completion',
      rows: 600,
      examples: 600,
      tokens: 600 * 3 + 60 * 55,
      targets: 600 + 60 * 55,
      stops: 600,
      lengths: { mean: 8.5, p50: 8, max: 13 },
    });
  });

  it('come from the cache until the data, the tokenizer or an option changes', async () => {
    const text = jsonLines(row('q', 'a'));
    const first = await prepare(text);
    const hits = async (wanted: Wanted, changed = text) => (await prepare(changed, wanted)).cache.hit;
    expect(first.cache.hit).toBe(false);
    expect(await hits({})).toBe(true);
    expect(await hits({ options: { maxLength: 12 } })).toBe(true);
    expect(await hits({ options: { trainOn: 'all' } })).toBe(false);
    expect(await hits({ tokenizer: letterTokenizer(['qa']) })).toBe(false);
    expect(await hits({}, jsonLines(row('q', 'b')))).toBe(false);
    const again = await prepare(text);
    expect(again.report).toEqual(first.report);
    expect(again.rows.fingerprint).toBe(first.rows.fingerprint);
  });

  it('are made again when the cache was damaged', async () => {
    const { cache } = await prepare(jsonLines(row('q', 'a')));
    const shard = readdirSync(cache.folder).find((name) => name.endsWith('.arrow')) as string;
    truncateSync(join(cache.folder, shard), 10);
    const again = await prepare(jsonLines(row('q', 'a')));
    expect(again.cache.hit).toBe(false);
    expect(await texts(again)).toEqual(['<s>qa</s>']);
  });

  it('leave out damaged rows and name them, up to a limit', async () => {
    const good = Array.from({ length: 30 }, () => row('q', 'a'));
    const text = `${jsonLines(...good)}{"prompt": "q", \n${jsonLines(row('q', 'b'))}`;
    const { report } = await prepare(text);
    expect(report).toMatchObject({ rows: 32, examples: 31, rejected: { rows: 1 } });
    expect(report.rejected.first[0]).toMatchObject({
      row: 31,
      line: 31,
      reason: expect.stringContaining('not valid JSON'),
    });
    await expect(prepare(text, { options: { maxRejected: 0 } })).rejects.toThrow(
      expect.objectContaining({ code: 'LF_DATA_REJECTED_ROWS', message: expect.stringContaining(':31: row 31') }),
    );
  });

  it('are refused when nothing would teach the model to stop', async () => {
    const tokenizer = letterTokenizer(
      [],
      "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
    );
    const text = jsonLines({
      messages: [
        { role: 'user', content: 'q' },
        { role: 'assistant', content: 'a' },
      ],
    });
    await expect(prepare(text, { tokenizer })).rejects.toThrow(
      expect.objectContaining({ code: 'LF_DATA_NO_STOP_TOKEN', message: expect.stringContaining('</s>') }),
    );
    expect((await prepare(text, { tokenizer, options: { stopToken: 'ignore' } })).report.stops).toBe(0);
  });

  it('go through a transformation of their rows', async () => {
    async function* shout(rows: DataSet['rows']) {
      for await (const value of rows) yield { ...(value as object), completion: 'z' };
    }
    const text = jsonLines(row('q', 'a'), row('r', 'b'));
    await prepare(text);
    const data = await prepare(text, { transform: async (set) => ({ ...set, rows: shout(set.rows) }) });
    expect(await texts(data)).toEqual(['<s>qz</s>', '<s>rz</s>']);
  });

  it('are refused when a file is missing, empty or of an unknown format', async () => {
    const code = (code: string) => expect.objectContaining({ code });
    await expect(prepare('', {})).rejects.toThrow(code('LF_DATA_FILE_UNREADABLE'));
    await expect(prepare('', { options: { paths: join(folder, 'no.json') } })).rejects.toThrow(
      code('LF_DATA_FILE_MISSING'),
    );
    await expect(prepare(jsonLines({ x: 1 }))).rejects.toThrow(code('LF_DATA_FORMAT_UNKNOWN'));
    await expect(prepare(jsonLines(row('q', 'a')), { options: { format: 'parrot' } })).rejects.toThrow(
      expect.objectContaining({ code: 'LF_DATA_NO_SUCH_FORMAT', remedy: expect.stringContaining('alpaca') }),
    );
  });
});

describe('rows that are too long', () => {
  const text = jsonLines(row('q', 'a'), row('q', 'abcdefghijkl'));
  const read = async (overlong: string) => prepare(text, { options: { maxLength: 8, overlong } });

  it('are an error that says what cutting would cost', async () => {
    await expect(read('error')).rejects.toThrow(
      expect.objectContaining({
        code: 'LF_DATA_OVERLONG',
        message:
          '1 of 2 rows are longer than 8 tokens (the longest has 15); cutting them would lose 7 tokens to learn (46.7 %)',
      }),
    );
  });

  it.each([
    ['truncate', ['<s>qa</s>', '<s>qabcdef'], 7],
    ['drop', ['<s>qa</s>'], 13],
    ['split', ['<s>qa</s>', '<s>qabcdef', 'ghijkl</s>'], 1],
  ])('%s', async (policy, expected, targetsLost) => {
    const data = await read(policy);
    expect(await texts(data)).toEqual(expected);
    expect(data.length).toMatchObject({ overlong: 1, targetsLost });
  });

  it('change the fingerprint', async () => {
    expect((await read('truncate')).rows.fingerprint).not.toBe((await read('drop')).rows.fingerprint);
  });
});

describe('preference data', () => {
  const pairs = jsonLines({ prompt: 'q', chosen: 'ab', rejected: 'c' }, { prompt: 'r', chosen: 'd', rejected: 'ef' });

  async function shaped<Row>(text: string, shape: RowShape<Row>): Promise<Row[]> {
    const path = join(folder, 'rows.jsonl');
    writeFileSync(path, text);
    const data = await prepareData({
      options: dataOptions.parse({ paths: path }),
      tokenizer: letterTokenizer(),
      shape,
      cacheFolder: join(folder, 'cache'),
      formats: builtInFormats,
      openPool: (setting) => workerPool(setting, 1, new AbortController().signal),
      onProgress: () => {},
    });
    const rows = await data.rows.read(Array.from({ length: data.rows.lengths.length }, (_, i) => i));
    data.close();
    return rows;
  }

  const decode = ({ tokens }: TokenRow) => letterTokenizer().decode(tokens, { skipSpecialTokens: false });

  it('are pairs of answers to one prompt', async () => {
    const rows = await shaped(pairs, pairRows);
    const texts = rows.map(async ({ chosen, rejected }) => [await decode(chosen), await decode(rejected)]);
    expect(await Promise.all(texts)).toEqual([
      ['<s>qab</s>', '<s>qc</s>'],
      ['<s>rd</s>', '<s>ref</s>'],
    ]);
    expect([...(rows[0]?.chosen.mask ?? [])]).toEqual([0, 0, 1, 1, 1]);
  });

  it('are judged answers, one by one', async () => {
    const labelled = jsonLines(
      { prompt: 'q', completion: 'a', label: true },
      { prompt: 'q', completion: 'b', label: false },
    );
    const verdicts = async (text: string) => (await shaped(text, judgedRows)).map(({ verdict }) => verdict);
    expect(await verdicts(labelled)).toEqual(['chosen', 'rejected']);
    expect(await verdicts(pairs)).toEqual(['chosen', 'rejected', 'chosen', 'rejected']);
  });

  it('leave a pair out whole when an answer of it cannot be used', async () => {
    const good = Array.from({ length: 40 }, (_, i) => ({ prompt: 'q', chosen: 'ab', rejected: 'c', id: i }));
    const rows = await shaped(jsonLines({ prompt: 'q', chosen: 'x', rejected: '' }, ...good), pairRows);
    expect(rows.length).toBe(40);
    expect(await Promise.all(rows.map(({ chosen }) => decode(chosen)))).toEqual(good.map(() => '<s>qab</s>'));
  });

  it.each([
    [exampleRows, pairs, /are pairs of a chosen and a rejected answer .* learns from examples to imitate/, /dpo/],
    [pairRows, jsonLines(row('q', 'a')), /are examples to imitate .* learns from pairs/, /sft/],
  ])('are refused by a trainer that learns from something else', async (shape, text, message, remedy) => {
    const reading = shaped<unknown>(text, shape);
    await expect(reading).rejects.toMatchObject({
      code: 'LF_DATA_WRONG_KIND',
      message: expect.stringMatching(message),
      remedy: expect.stringMatching(remedy),
    });
  });
});
