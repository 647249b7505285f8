import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readGguf } from './read.js';

const folder = mkdtempSync(join(tmpdir(), 'gguf-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'a.gguf');

const u8 = (value: number) => Buffer.of(value);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const entry = (key: string, type: number, ...value: Buffer[]) => Buffer.concat([text(key), u32(type), ...value]);
/** A tensor's description; dimensions innermost first, as in the file. */
const tensor = (name: string, dimensions: (number | bigint)[], type: number, offset: number | bigint) =>
  Buffer.concat([text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset)]);

interface Parts {
  entries?: Buffer[];
  tensors?: Buffer[];
  data?: number;
  version?: number;
  counts?: [number | bigint, number | bigint];
}

function file({ entries = [], tensors = [], data = 0, version = 3, counts }: Parts): void {
  const [tensorCount, entryCount] = counts ?? [tensors.length, entries.length];
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(tensorCount),
    u64(entryCount),
    ...entries,
    ...tensors,
  ]);
  writeFileSync(path, Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), Buffer.alloc(data)]));
}

const F32 = 0;
const Q8_0 = 8;
const whole: Parts = {
  entries: [
    entry('name', 8, text('tiny')),
    entry('small', 0, u8(200)),
    entry('negative', 5, u32(0xffff_ffff)),
    entry('yes', 7, u8(1)),
    entry('list', 9, u32(8), u64(2), text('a'), text('b')),
    entry('lists', 9, u32(9), u64(1), u32(4), u64(2), u32(1), u32(2)),
    entry('long', 10, u64(2 ** 40)),
  ],
  tensors: [tensor('a', [32, 3], Q8_0, 0), tensor('b', [8], F32, 128)],
  data: 160,
};

describe('readGguf', () => {
  it.each([2, 3])('reads metadata and tensors of version %i', (version) => {
    file({ ...whole, version });
    const { metadata, tensors } = readGguf(path);
    expect(Object.fromEntries(metadata)).toEqual({
      name: 'tiny',
      small: 200,
      negative: -1,
      yes: true,
      list: ['a', 'b'],
      lists: [[1, 2]],
      long: 2 ** 40,
    });
    expect(tensors.get('a')).toMatchObject({ dtype: 'q8_0', shape: [3, 32], bytes: 102 });
    expect(tensors.get('b')!.offset).toBe(tensors.get('a')!.offset + 128);
  });

  it('places data by general.alignment', () => {
    file({ entries: [entry('general.alignment', 4, u32(64))], tensors: [tensor('b', [2], F32, 64)], data: 200 });
    expect(readGguf(path).tensors.get('b')!.offset % 64).toBe(0);
  });

  const b = (offset: number | bigint, dimensions: (number | bigint)[] = [8]) => tensor('b', dimensions, F32, offset);
  const aligned = (value: number) => ({ entries: [entry('general.alignment', 4, u32(value))] });
  const damaged: [string, Parts, RegExp][] = [
    ['more tensors than fit', { counts: [2n ** 63n, 0] }, /number of tensors is 9223372036854775808/],
    ['more entries than fit', { counts: [0, 1e9] }, /number of metadata entries is 1000000000/],
    ['a string beyond the end', { entries: [u64(1e6)], counts: [0, 1], data: 99 }, /length of metadata key 0/],
    ['a list beyond the end', { entries: [entry('a', 9, u32(4), u64(2 ** 40))] }, /length of the value of "a"/],
    [
      'lists nested too deep',
      {
        entries: [
          entry(
            'a',
            9,
            ...Array(6)
              .fill([u32(9), u64(1)])
              .flat(),
          ),
        ],
      },
      /nested more than 4/,
    ],
    ['an unknown value type', { entries: [entry('a', 13)], data: 32 }, /unknown type 13/],
    ['a boolean of 2', { entries: [entry('a', 7, u8(2))], data: 32 }, /no boolean/],
    ['a key that comes twice', { entries: [entry('a', 0, u8(1)), entry('a', 0, u8(1))] }, /"a" comes twice/],
    ['an alignment of 0', aligned(0), /no power of two/],
    ['an alignment of 24', aligned(24), /no power of two/],
    ['an alignment that is text', { entries: [entry('general.alignment', 8, text('32'))] }, /no power of two/],
    ['a tensor that comes twice', { tensors: [b(0), b(32)], data: 64 }, /"b" comes twice/],
    ['tensors that overlap', { tensors: [b(0, [16]), tensor('c', [8], F32, 32)], data: 64 }, /"c" overlaps/],
    ['a tensor beyond the end', { tensors: [b(32)], data: 32 }, /ends at .* but the file at/],
    ['an offset beyond counting', { tensors: [b(2n ** 64n - 32n)] }, /offset of tensor "b"/],
    ['an offset that is not aligned', { tensors: [b(4)], data: 99 }, /no multiple of 32/],
    ['five dimensions', { tensors: [b(0, [1, 1, 1, 1, 1])] }, /5 dimensions/],
    ['a size beyond counting', { tensors: [b(0, [2n ** 50n, 2n ** 50n])] }, /too large/],
    ['half a block', { tensors: [tensor('b', [48], Q8_0, 0)], data: 99 }, /whole number of q8_0 blocks/],
    ['an unknown tensor type', { tensors: [tensor('b', [32], 4711, 0)], data: 99 }, /unknown type 4711/],
  ];
  it.each(damaged)('refuses %s', (_, parts, reason) => {
    file(parts);
    expect(() => readGguf(path)).toThrow(
      expect.objectContaining({ code: 'LF_ENGINE_FILE_CORRUPT', message: expect.stringMatching(reason) }),
    );
    expect(() => readGguf(path)).toThrow(path);
  });

  it('reads tensors without elements and without dimensions', () => {
    file({ tensors: [tensor('none', [32, 0], Q8_0, 0), tensor('one', [], F32, 0)], data: 4 });
    const { tensors } = readGguf(path);
    expect([tensors.get('none')!.bytes, tensors.get('one')!.bytes]).toEqual([0, 4]);
  });

  it('refuses a whole file at every length to which it is cut', () => {
    file(whole);
    const bytes = readFileSync(path);
    for (let length = 4; length < bytes.length; length++) {
      writeFileSync(path, bytes.subarray(0, length));
      expect(() => readGguf(path)).toThrow(expect.objectContaining({ code: 'LF_ENGINE_FILE_CORRUPT' }));
    }
  });

  it('says what it does not support', () => {
    const unsupported = (reason: RegExp) =>
      expect(() => readGguf(path)).toThrow(
        expect.objectContaining({ code: 'LF_ENGINE_FILE_UNSUPPORTED', message: expect.stringMatching(reason) }),
      );
    file({ version: 1 });
    unsupported(/version 1/);
    file({ version: 0x0300_0000 });
    unsupported(/big-endian/);
    file({ tensors: [tensor('b', [256], 10, 0)], data: 84 });
    unsupported(/stored as Q2_K.*supported are .*Q4_K/);
    writeFileSync(path, 'PK no model');
    unsupported(/no GGUF file/);
  });
});
