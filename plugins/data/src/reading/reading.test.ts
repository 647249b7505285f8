import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataFiles, readRows } from './data-file.js';
import { jsonArray } from './json-array.js';
import { jsonLines } from './json-lines.js';
import type { RawRow } from './raw-row.js';

const limits = { maxRowBytes: 1 << 20 };
const options = { ...limits, sampleBy: 'line' } as const;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function* inChunks(text: string | Buffer, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text as string);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collected(rows: AsyncIterable<RawRow[]>): Promise<RawRow[]> {
  const all: RawRow[] = [];
  for await (const batch of rows) all.push(...batch);
  return all;
}

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const texts = (rows: RawRow[]) => rows.map((row) => [row.row, row.line, row.text]);

describe('JSON Lines', () => {
  it('reads LF and CRLF, skips blank lines and needs no last line end, however the bytes arrive', async () => {
    const content = '{"a":1}\r\n\n  \n{"a":"é"}\n{"a":3}';
    for (const size of [1, 2, 3, 7, 100]) {
      expect(texts(await collected(jsonLines(inChunks(content, size), limits)))).toEqual([
        [1, 1, '{"a":1}'],
        [2, 4, '{"a":"é"}'],
        [3, 5, '{"a":3}'],
      ]);
    }
  });

  it('costs a row that is too long or not UTF-8, and no other', async () => {
    const content = Buffer.concat([
      Buffer.from(`{"a":1}\n{"a":"${'x'.repeat(5000)}"}\n`),
      Buffer.from([0x22, 0xff, 0xfe, 0x22]),
      Buffer.from('\n{"a":4}\n'),
    ]);
    for (const size of [64, 100_000]) {
      const rows = await collected(jsonLines(inChunks(content, size), { maxRowBytes: 4096 }));
      expect(rows.map((row) => row.problem)).toEqual([
        undefined,
        'longer than 4,096 bytes (maxRowBytes)',
        'not valid UTF-8',
        undefined,
      ]);
      expect(rows.map((row) => row.line)).toEqual([1, 2, 3, 4]);
    }
  });
});

describe('a JSON list', () => {
  it('gives each element with its line, however the bytes arrive', async () => {
    const content = '\n[ {"a": "]}\\"\\\\"},\n\n  {"b": [1, {"c": 2}],\n "d": "\\\\"},"x" ,3\n, null]\n';
    for (const size of [1, 2, 5, 1000]) {
      expect(texts(await collected(jsonArray(inChunks(content, size), limits, 'f.json')))).toEqual([
        [1, 2, '{"a": "]}\\"\\\\"}'],
        [2, 4, '{"b": [1, {"c": 2}],\n "d": "\\\\"}'],
        [3, 5, '"x"'],
        [4, 5, '3'],
        [5, 6, 'null'],
      ]);
    }
  });

  it('reads an empty list', async () => {
    expect(await collected(jsonArray(inChunks(' [ \n ] ', 1), limits, 'f.json'))).toEqual([]);
  });

  const broken: [string, string][] = [
    ['[{"a":1},{"a":', 'f.json:1: the file ends inside row 2, which begins on line 1; it seems to be cut off'],
    ['[{"a":1},\n', "f.json:2: the file ends after row 1, before the list is closed with ']'"],
    ['[{"a":1}]\n{"a":2}', "f.json:2: text after the end of the list: '{'"],
    ['[{"a":1}\n{"a":2}]', "f.json:2: expected ',' or ']' after row 1, found '{'"],
    ['[{"a":1},]', 'f.json:1: a comma after row 1, the last of the list'],
    ['[,{"a":1}]', 'f.json:1: a comma where row 1 should begin'],
    ['["a', 'f.json:1: the file ends inside row 1'],
  ];
  it.each(broken)('refuses %j with the place and the reason', async (content, message) => {
    for (const size of [1, 100]) {
      await expect(collected(jsonArray(inChunks(content, size), limits, 'f.json'))).rejects.toThrow(message);
    }
  });

  it('skips a huge element without keeping it', async () => {
    const content = `[{"a":"${'x'.repeat(9000)}"},{"a":2}]`;
    const rows = await collected(jsonArray(inChunks(content, 512), { maxRowBytes: 4096 }, 'f.json'));
    expect(rows.map((row) => [row.text, row.problem])).toEqual([
      ['', 'longer than 4,096 bytes (maxRowBytes)'],
      ['{"a":2}', undefined],
    ]);
  });
});

describe('readRows', () => {
  it('tells the kind of a file by its content and skips a byte order mark', async () => {
    const list = file('bom.json', '\ufeff[{"a":1}]');
    const lines = file('lines.json', '\ufeff{"a":1}\n{"a":2}\n');
    expect(texts(await collected(readRows(list, options)))).toEqual([[1, 1, '{"a":1}']]);
    expect(texts(await collected(readRows(lines, options)))).toEqual([
      [1, 1, '{"a":1}'],
      [2, 2, '{"a":2}'],
    ]);
  });

  it('reads plain text by line, paragraph or document', async () => {
    const path = file('text.txt', 'one\r\ntwo\n\n \nthree\nfour');
    const read = async (sampleBy: 'line' | 'paragraph' | 'document') =>
      texts(await collected(readRows(path, { ...limits, sampleBy })));
    expect((await read('line')).map(([, line, text]) => [line, text])).toEqual([
      [1, '{"text":"one"}'],
      [2, '{"text":"two"}'],
      [5, '{"text":"three"}'],
      [6, '{"text":"four"}'],
    ]);
    expect(await read('paragraph')).toEqual([
      [1, 1, '{"text":"one\\ntwo"}'],
      [2, 5, '{"text":"three\\nfour"}'],
    ]);
    expect(await read('document')).toEqual([[1, 1, '{"text":"one\\ntwo\\n\\n \\nthree\\nfour"}']]);
  });

  it('refuses what it cannot read, with what to do', async () => {
    const cases: [string, string | Buffer, string][] = [
      ['utf16.jsonl', Buffer.from('\ufeff{"a":1}', 'utf16le'), 'it is UTF-16'],
      ['packed.jsonl', Buffer.from([0x1f, 0x8b, 0x08]), 'compressed with gzip'],
      ['empty.jsonl', ' \n', 'it is empty'],
      ['object.json', '{\n  "data": [\n    {"a": 1}\n  ]\n}', 'is one JSON object, not a list of rows'],
    ];
    for (const [name, content, message] of cases) {
      await expect(collected(readRows(file(name, content), options))).rejects.toThrow(message);
    }
  });
});

describe('dataFiles', () => {
  it('takes files as they are and folders by the files in them that can be read', async () => {
    const inner = mkdtempSync(join(folder, 'set-'));
    for (const name of ['b.jsonl', 'a.json', 'README.md']) writeFileSync(join(inner, name), '[]');
    expect(await dataFiles([inner, join(inner, 'README.md')])).toEqual([
      join(inner, 'a.json'),
      join(inner, 'b.jsonl'),
      join(inner, 'README.md'),
    ]);
    await expect(dataFiles([join(inner, 'none')])).rejects.toThrow('there is no data file');
    await expect(dataFiles([mkdtempSync(join(folder, 'empty-'))])).rejects.toThrow('holds no data file');
  });
});
