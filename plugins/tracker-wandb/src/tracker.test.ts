import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { wandbTracker } from './tracker.js';
import { TransactionLog } from './transaction-log.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-wandb-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Reads a log as LevelDB's format says: blocks of 32 KiB, chunks within them. */
function recordsOf(path: string): Buffer[] {
  const bytes = readFileSync(path);
  expect(bytes.subarray(0, 7)).toEqual(Buffer.from([...Buffer.from(':W&B'), 0xe1, 0xbe, 0]));
  const records: Buffer[] = [];
  let parts: Buffer[] = [];
  for (let at = 7; at < bytes.length; ) {
    const room = 32768 - (at % 32768);
    if (room < 7) {
      at += room;
      continue;
    }
    const length = bytes.readUInt16LE(at + 4);
    const type = bytes.readUInt8(at + 6);
    const payload = bytes.subarray(at + 7, at + 7 + length);
    expect(length).toBeLessThanOrEqual(room - 7);
    expect(crc32(bytes.subarray(at + 6, at + 7 + length))).toBe(bytes.readUInt32LE(at));
    expect([1, 2].includes(type)).toBe(parts.length === 0);
    parts.push(payload);
    if (type === 1 || type === 4) {
      records.push(Buffer.concat(parts));
      parts = [];
    }
    at += 7 + length;
  }
  expect(parts).toEqual([]);
  return records;
}

/** Fields of a message by their numbers; length-delimited ones as bytes. */
function fieldsOf(bytes: Uint8Array): Map<number, (number | Uint8Array)[]> {
  const fields = new Map<number, (number | Uint8Array)[]>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const value = type === WireType.Varint ? Number(reader.int64()) : reader.bytes();
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

const text = (value: number | Uint8Array | undefined) => Buffer.from(value as Uint8Array).toString();
/** `key -> value` of repeated items in field 1. */
const itemsOf = (bytes: number | Uint8Array | undefined) =>
  Object.fromEntries(
    (fieldsOf(bytes as Uint8Array).get(1) ?? []).map((item) => {
      const fields = fieldsOf(item as Uint8Array);
      return [text(fields.get(1)?.[0]), JSON.parse(text(fields.get(16)?.[0]))];
    }),
  );

describe('a transaction log', () => {
  it('spreads records over blocks, whatever is left of each', () => {
    const log = new TransactionLog(join(folder, 'log'));
    const lengths = [0, 1, 32768 - 7 - 3 * 7 - 1 - 12, 5, 5, 100_000, 32761, 32762, 0, 7, 70_000];
    const records = lengths.map((length, i) => Buffer.alloc(length, i + 1));
    for (const record of records) log.append(record);
    log.close();
    expect(recordsOf(join(folder, 'log'))).toEqual(records);
  });
});

describe('a run', () => {
  it('is a header, the run, a row for each step, the summary and the exit', async () => {
    const startedAt = new Date('2026-01-02T03:04:05.250Z');
    const settings = { project: 'p', entity: 'e', group: 'g', tags: ['a', 'b'] };
    const run = { id: 'run-1', name: 'tune', use: 'sft', config: { lr: 1, lora: { r: 2 } }, startedAt, resumed: false };
    const recorder = await wandbTracker(folder, settings).open(run);
    const time = (seconds: number) => new Date(startedAt.getTime() + 1000 * seconds);
    await recorder.log(1, { 'train/loss': 2 }, time(1));
    await recorder.log(2, { 'train/loss': 1, 'train/grad_norm': Number.NaN }, time(2));
    await recorder.log(2, { 'eval/loss': 1.5 }, time(3));
    await recorder.finish({ status: 'failed', endedAt: time(4), outputs: { loss: 1, model: '/x' }, error: 'no' });
    const [offline] = readdirSync(join(folder, 'wandb')) as [string];
    expect(offline).toMatch(/^offline-run-20260102_030405-[0-9a-f]{8}$/);
    const path = join(folder, 'wandb', offline, `run-${offline.slice(-8)}.wandb`);
    const records = recordsOf(path).map(fieldsOf);
    // Numbers of the fields of `Record` in wandb_internal.proto.
    expect(records.map((fields) => [...fields.keys()].find((key) => key !== 1))).toEqual([21, 17, 2, 2, 3, 18]);
    expect(records.slice(1).map((fields) => fields.get(1)?.[0])).toEqual([1, 2, 3, 4, 5]);
    const described = fieldsOf(records[1]?.get(17)?.[0] as Uint8Array);
    const at = (number: number) => described.get(number)?.map(text);
    expect([1, 2, 3, 6, 8, 10].map(at)).toEqual([[offline.slice(-8)], ['e'], ['p'], ['g'], ['run-1'], ['a', 'b']]);
    expect(itemsOf(described.get(4)?.[0])).toEqual({ lr: 1, lora: { r: 2 }, step: 'tune', trainer: 'sft' });
    expect(fieldsOf(described.get(17)?.[0] as Uint8Array).get(2)).toEqual([250_000_000]);
    const rows = records.slice(2, 4).map((fields) => itemsOf(fields.get(2)?.[0]));
    expect(rows[0]).toMatchObject({ _step: 1, 'train/loss': 2, _runtime: 1 });
    expect(rows[1]).toMatchObject({
      _step: 2,
      'train/loss': 1,
      'eval/loss': 1.5,
      _runtime: 3,
      'train/grad_norm': 'NaN',
    });
    expect(itemsOf(records[4]?.get(3)?.[0])).toEqual({
      'train/loss': 1,
      'train/grad_norm': 'NaN',
      'eval/loss': 1.5,
      loss: 1,
    });
    expect([...fieldsOf(records[5]?.get(18)?.[0] as Uint8Array)]).toEqual([
      [1, [1]],
      [2, [4]],
    ]);
  });
});
