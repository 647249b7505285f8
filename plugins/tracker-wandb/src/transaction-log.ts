import { closeSync, openSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';

const blockBytes = 32 * 1024;
const chunkHeaderBytes = 7;

/** Types of chunks: a whole record, or the first, a middle or the last part of one. */
const chunk = { full: 1, first: 2, middle: 3, last: 4 } as const;

/**
 * The file that the clients of Weights & Biases keep a run in: LevelDB's log format (blocks of 32 KiB, chunks with
 * checksum, length and type), after the bytes `:W&B`, the number 0xBEE1 and a version, with CRC-32 as checksum.
 */
export class TransactionLog {
  private readonly file: number;
  /** Bytes of the current block that are written. */
  private at: number;

  /** Makes the file; it must not exist. */
  constructor(path: string) {
    this.file = openSync(path, 'wx');
    const header = Buffer.from([...Buffer.from(':W&B'), 0xe1, 0xbe, 0]);
    writeSync(this.file, header);
    this.at = header.length;
  }

  /** Appends a record in one write: a reader never waits for the rest of it. */
  append(record: Uint8Array): void {
    const parts: Buffer[] = [];
    let rest = Buffer.from(record);
    for (let first = true; first || rest.length > 0; first = false) {
      if (blockBytes - this.at < chunkHeaderBytes) {
        parts.push(Buffer.alloc(blockBytes - this.at));
        this.at = 0;
      }
      const payload = rest.subarray(0, blockBytes - this.at - chunkHeaderBytes);
      rest = rest.subarray(payload.length);
      const last = rest.length === 0;
      const type = first ? (last ? chunk.full : chunk.first) : last ? chunk.last : chunk.middle;
      const header = Buffer.alloc(chunkHeaderBytes);
      header.writeUInt32LE(crc32(Buffer.concat([Buffer.from([type]), payload])), 0);
      header.writeUInt16LE(payload.length, 4);
      header.writeUInt8(type, 6);
      parts.push(header, payload);
      this.at += chunkHeaderBytes + payload.length;
    }
    writeSync(this.file, Buffer.concat(parts));
  }

  close(): void {
    closeSync(this.file);
  }
}
