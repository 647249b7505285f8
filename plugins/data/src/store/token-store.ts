import { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RowSource, TokenRow } from '@largeforge/engine';
import type { Verdict } from '../formats/format.js';
import type { DataReport } from '../report.js';
import { encodeShard, type ShardPlaces, type TokenColumns, verdicts } from './shard.js';

const version = 2;

/** Tokens of a shard before the next is begun: 16 MiB of tokens, 4 MiB of mask. */
const shardTokens = 1 << 22;

interface ShardEntry {
  readonly file: string;
  readonly bytes: number;
  readonly rows: number;
  readonly tokens: number;
  readonly places: ShardPlaces;
}

interface StoreManifest {
  readonly version: number;
  readonly key: string;
  readonly shards: readonly ShardEntry[];
  readonly report: DataReport;
}

/** A tokenised row, and what was said of it where it is an answer in preference data. */
export interface StoredRow extends TokenRow {
  readonly verdict: Verdict | undefined;
}

/** Writes tokenised rows into a folder, shard by shard. */
export class TokenStoreWriter {
  private readonly shards: ShardEntry[] = [];
  private pending: TokenColumns[] = [];
  private pendingTokens = 0;

  constructor(private readonly folder: string) {}

  append(columns: TokenColumns): void {
    this.pending.push(columns);
    this.pendingTokens += columns.tokens.length;
    if (this.pendingTokens >= shardTokens) this.writeShard();
  }

  /** Writes what is left, and the manifest that makes the folder a store. */
  finish(key: string, report: DataReport): void {
    if (this.pending.length > 0) this.writeShard();
    const manifest: StoreManifest = { version, key, shards: this.shards, report };
    writeFileSync(join(this.folder, 'manifest.json'), JSON.stringify(manifest, undefined, 1));
  }

  private writeShard(): void {
    const columns = joinColumns(this.pending);
    const { bytes, places } = encodeShard(columns);
    const file = `shard-${String(this.shards.length).padStart(5, '0')}.arrow`;
    writeFileSync(join(this.folder, file), bytes);
    const rows = columns.offsets.length - 1;
    this.shards.push({ file, bytes: bytes.length, rows, tokens: columns.tokens.length, places });
    this.pending = [];
    this.pendingTokens = 0;
  }
}

interface OpenShard {
  readonly descriptor: number;
  readonly firstRow: number;
  /** Token at which each row begins, and the end of the last. */
  readonly offsets: Int32Array;
  readonly verdicts: Uint8Array;
  readonly places: ShardPlaces;
}

/** Tokenised rows on disk. Memory holds only where each row begins; rows are read when they are asked for. */
export class TokenStore implements RowSource<StoredRow> {
  readonly fingerprint: string;
  readonly lengths: Uint32Array;
  readonly report: DataReport;

  private constructor(
    private readonly shards: readonly OpenShard[],
    manifest: StoreManifest,
  ) {
    this.fingerprint = manifest.key;
    this.report = manifest.report;
    this.lengths = new Uint32Array(shards.reduce((rows, shard) => rows + shard.offsets.length - 1, 0));
    for (const { firstRow, offsets } of shards) {
      for (let i = 1; i < offsets.length; i++) {
        this.lengths[firstRow + i - 1] = (offsets[i] as number) - (offsets[i - 1] as number);
      }
    }
  }

  /** Opens a store; undefined when the folder holds none, another version's, or a damaged one. */
  static open(folder: string): TokenStore | undefined {
    let manifest: StoreManifest;
    try {
      manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as StoreManifest;
    } catch {
      return undefined;
    }
    if (manifest.version !== version) return undefined;
    const shards: OpenShard[] = [];
    let firstRow = 0;
    for (const entry of manifest.shards) {
      const shard = openShard(join(folder, entry.file), entry, firstRow);
      if (!shard) {
        for (const { descriptor } of shards) closeSync(descriptor);
        return undefined;
      }
      shards.push(shard);
      firstRow += entry.rows;
    }
    return new TokenStore(shards, manifest);
  }

  read(rows: ArrayLike<number>): StoredRow[] {
    return Array.from(rows, (row) => this.row(row));
  }

  private row(row: number): StoredRow {
    const shard = this.shards.findLast((shard) => shard.firstRow <= row);
    const begin = shard?.offsets[row - shard.firstRow];
    const end = shard?.offsets[row - shard.firstRow + 1];
    if (!shard || begin === undefined || end === undefined) throw new RangeError(`there is no row ${row}`);
    const tokens = new Int32Array(end - begin);
    const mask = new Uint8Array(end - begin);
    readExactly(shard.descriptor, tokens, shard.places.tokens + 4 * begin);
    readExactly(shard.descriptor, mask, shard.places.mask + begin);
    return { tokens, mask, verdict: verdicts[shard.verdicts[row - shard.firstRow] as number] };
  }

  close(): void {
    for (const { descriptor } of this.shards) closeSync(descriptor);
  }
}

function openShard(path: string, entry: ShardEntry, firstRow: number): OpenShard | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    return undefined;
  }
  if (fstatSync(descriptor).size !== entry.bytes) {
    closeSync(descriptor);
    return undefined;
  }
  const offsets = new Int32Array(entry.rows + 1);
  readExactly(descriptor, offsets, entry.places.offsets);
  const verdicts = new Uint8Array(entry.rows);
  readExactly(descriptor, verdicts, entry.places.verdicts);
  return { descriptor, firstRow, offsets, verdicts, places: entry.places };
}

function readExactly(descriptor: number, into: Int32Array | Uint8Array, position: number): void {
  const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
  let done = 0;
  while (done < bytes.length) {
    const read = readSync(descriptor, bytes, done, bytes.length - done, position + done);
    if (read === 0) throw new Error('a shard of tokenised rows was cut off while it was in use');
    done += read;
  }
}

function joinColumns(parts: readonly TokenColumns[]): TokenColumns {
  const rows = parts.reduce((sum, part) => sum + part.lines.length, 0);
  const total = parts.reduce((sum, part) => sum + part.tokens.length, 0);
  const joined = {
    offsets: new Int32Array(rows + 1),
    tokens: new Int32Array(total),
    mask: new Uint8Array(total),
    lines: new Uint32Array(rows),
    verdicts: new Uint8Array(rows),
  };
  let [row, token] = [0, 0];
  for (const part of parts) {
    joined.tokens.set(part.tokens, token);
    joined.mask.set(part.mask, token);
    joined.lines.set(part.lines, row);
    joined.verdicts.set(part.verdicts, row);
    for (let i = 1; i < part.offsets.length; i++) joined.offsets[row + i] = token + (part.offsets[i] as number);
    row += part.lines.length;
    token += part.tokens.length;
  }
  return joined;
}
