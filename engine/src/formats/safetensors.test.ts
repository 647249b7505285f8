import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from './safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'safetensors-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'a.safetensors');

/** A file with this header text and so many bytes of data. */
function file(header: string, data: number, declared = BigInt(Buffer.byteLength(header))): string {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(declared);
  writeFileSync(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(data)]));
  return path;
}

const tensor = (begin: number, end: number, shape: unknown = [(end - begin) / 4], dtype = 'F32') =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

describe('readSafetensors', () => {
  it('reads shapes, positions and metadata', () => {
    file(`{"__metadata__":{"format":"pt"},"a":${tensor(0, 8, [2, 1])},"b":${tensor(8, 12, [])}}  `, 12);
    const { tensors, metadata } = readSafetensors(path);
    expect(metadata).toEqual({ format: 'pt' });
    expect([...tensors.values()].map(({ name, shape, bytes }) => [name, shape, bytes])).toEqual([
      ['a', [2, 1], 8],
      ['b', [], 4],
    ]);
    expect(tensors.get('b')!.offset).toBe(tensors.get('a')!.offset + 8);
  });

  it('reads tensors without elements', () => {
    file(`{"a":${tensor(0, 0, [0, 4])},"b":${tensor(0, 4)}}`, 4);
    expect(readSafetensors(path).tensors.get('a')!.bytes).toBe(0);
  });

  const damaged: [string, () => unknown, RegExp][] = [
    ['an empty file', () => writeFileSync(path, ''), /too few/],
    ['a header beyond the end', () => file('{}', 0, 3n), /header claims 3 bytes, but the file has 10/],
    ['a header beyond any file', () => file('{}', 0, 2n ** 64n - 1n), /claims 18446744073709551615 bytes/],
    ['a header without JSON', () => file('{"a":', 0), /no JSON/],
    ['a header that is a list', () => file('[]', 0), /does not begin/],
    ['a tensor described by a number', () => file('{"a":1}', 0), /described by no object/],
    ['a key that comes twice', () => file(`{"a":${tensor(0, 4)},"\\u0061":${tensor(0, 4)}}`, 4), /"a" twice/],
    ['a field that comes twice', () => file('{"a":{"dtype":"F32","dtype":"F32"}}', 4), /"dtype" twice/],
    ['an unknown field', () => file('{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}}', 4), /field "x"/],
    ['overlapping tensors', () => file(`{"a":${tensor(0, 8)},"b":${tensor(4, 12)}}`, 12), /"b" overlaps/],
    ['a gap', () => file(`{"a":${tensor(0, 4)},"b":${tensor(8, 12)}}`, 12), /4 bytes before tensor "b"/],
    ['a range beyond the end', () => file(`{"a":${tensor(0, 8)}}`, 4), /end at byte .* only/],
    ['bytes behind the last tensor', () => file(`{"a":${tensor(0, 4)}}`, 9), /5 bytes at its end/],
    ['a range that runs backwards', () => file(`{"a":${tensor(4, 0, [1])}}`, 4), /-4 by its offsets/],
    ['a shape that is not its bytes', () => file(`{"a":${tensor(0, 8, [3])}}`, 8), /takes 12 bytes/],
    ['a shape beyond counting', () => file(`{"a":${tensor(0, 8, [2 ** 52, 2 ** 52])}}`, 8), /too large/],
    ['a negative size', () => file(`{"a":${tensor(0, 4, [-1, -1])}}`, 4), /no list of sizes/],
    ['an unknown data type', () => file(`{"a":${tensor(0, 4, [1], 'F33')}}`, 4), /unknown data type "F33"/],
    ['metadata that is no text', () => file('{"__metadata__":{"a":1}}', 0), /no string/],
  ];
  it.each(damaged)('refuses %s', (_, make, reason) => {
    make();
    expect(() => readSafetensors(path)).toThrow(
      expect.objectContaining({ code: 'LF_ENGINE_FILE_CORRUPT', message: expect.stringMatching(reason) }),
    );
    expect(() => readSafetensors(path)).toThrow(path);
  });

  it('says which data types it cannot hold', () => {
    file(`{"a":${tensor(0, 4, [4], 'F8_E4M3')}}`, 4);
    expect(() => readSafetensors(path)).toThrow(expect.objectContaining({ code: 'LF_ENGINE_FILE_UNSUPPORTED' }));
  });

  it('refuses a whole file at every length to which it is cut', () => {
    const whole = readFileSync(file(`{"a":${tensor(0, 8)},"b":${tensor(8, 12)}}`, 12));
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      expect(() => readSafetensors(path)).toThrow(expect.objectContaining({ code: 'LF_ENGINE_FILE_CORRUPT' }));
    }
  });

  it('tells a missing file and a folder from a damaged file', () => {
    expect(() => readSafetensors(join(folder, 'none'))).toThrow(
      expect.objectContaining({ code: 'LF_ENGINE_FILE_MISSING' }),
    );
    expect(() => readSafetensors(folder)).toThrow(expect.objectContaining({ code: 'LF_ENGINE_FILE_UNREADABLE' }));
  });
});

describe('writeSafetensors', () => {
  const one = (name: string, bytes: number, values = bytes / 4) =>
    ({ name, dtype: 'f32', shape: [values], bytes: () => new Uint8Array(bytes).fill(7) }) as const;

  it('writes what is read again', async () => {
    await writeSafetensors(path, [one('1', 8), one('a', 4)], { note: 'x' });
    const { tensors, metadata } = readSafetensors(path);
    expect([...tensors.keys()]).toEqual(['1', 'a']);
    expect(metadata).toEqual({ note: 'x' });
    expect(tensors.get('1')!.offset % 8).toBe(0);
  });

  it('leaves the older file and nothing else when writing fails', async () => {
    await writeSafetensors(path, [one('old', 4)]);
    const before = readFileSync(path);
    await expect(writeSafetensors(path, [one('a', 4), one('b', 4, 2)])).rejects.toMatchObject({
      code: 'LF_ENGINE_TENSOR_CONTENT',
    });
    const failing = { ...one('a', 4), bytes: () => Promise.reject(new Error('the device is lost')) };
    await expect(writeSafetensors(path, [failing])).rejects.toThrow('the device is lost');
    expect(readFileSync(path)).toEqual(before);
    expect(readdirSync(folder)).toEqual(['a.safetensors']);
  });

  it('refuses names that come twice or are reserved, and folders that are not there', async () => {
    const refused = (name: string[]) =>
      writeSafetensors(
        path,
        name.map((n) => one(n, 4)),
      );
    await expect(refused(['a', 'a'])).rejects.toMatchObject({ code: 'LF_ENGINE_TENSOR_CONTENT' });
    await expect(refused(['__metadata__'])).rejects.toMatchObject({ code: 'LF_ENGINE_TENSOR_CONTENT' });
    await expect(writeSafetensors(join(folder, 'no', 'a'), [one('a', 4)])).rejects.toMatchObject({
      code: 'LF_ENGINE_FILE_UNWRITABLE',
    });
  });
});
