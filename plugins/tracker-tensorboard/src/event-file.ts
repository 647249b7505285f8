import { closeSync, openSync, writeSync } from 'node:fs';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** A number to be plotted. */
export interface Scalar {
  readonly tag: string;
  readonly value: number;
}

/**
 * A file of TensorFlow events (tensorflow/core/util/event.proto): TFRecords, each a length, the checksum of the length,
 * the event, and its checksum.
 */
export class EventFile {
  private readonly file: number;

  /** Makes the file; it must not exist. */
  constructor(path: string, time: Date) {
    this.file = openSync(path, 'wx');
    this.append(event(time, 0, (writer) => writer.tag(3, WireType.LengthDelimited).string('brain.Event:2')));
  }

  scalars(step: number, scalars: readonly Scalar[], time: Date): void {
    const summary = new BinaryWriter();
    for (const { tag, value } of scalars) {
      const one = new BinaryWriter();
      one.tag(1, WireType.LengthDelimited).string(tag);
      one.tag(2, WireType.Bit32).float(value);
      summary.tag(1, WireType.LengthDelimited).bytes(one.finish());
    }
    this.append(event(time, step, (writer) => writer.tag(5, WireType.LengthDelimited).bytes(summary.finish())));
  }

  /** Shown on the tab of texts, where Markdown is rendered. */
  text(tag: string, text: string, time: Date): void {
    const plugin = new BinaryWriter();
    plugin.tag(1, WireType.LengthDelimited).string('text');
    const metadata = new BinaryWriter();
    metadata.tag(1, WireType.LengthDelimited).bytes(plugin.finish());
    const stringType = 7;
    const tensor = new BinaryWriter();
    tensor.tag(1, WireType.Varint).int32(stringType);
    tensor.tag(2, WireType.LengthDelimited).bytes(new Uint8Array(0));
    tensor.tag(8, WireType.LengthDelimited).string(text);
    const value = new BinaryWriter();
    value.tag(1, WireType.LengthDelimited).string(tag);
    value.tag(8, WireType.LengthDelimited).bytes(tensor.finish());
    value.tag(9, WireType.LengthDelimited).bytes(metadata.finish());
    const summary = new BinaryWriter();
    summary.tag(1, WireType.LengthDelimited).bytes(value.finish());
    this.append(event(time, 0, (writer) => writer.tag(5, WireType.LengthDelimited).bytes(summary.finish())));
  }

  close(): void {
    closeSync(this.file);
  }

  private append(data: Uint8Array): void {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(data.length));
    writeSync(this.file, Buffer.concat([length, checksum(length), data, checksum(data)]));
  }
}

function event(time: Date, step: number, what: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Bit64).double(time.getTime() / 1000);
  if (step !== 0) writer.tag(2, WireType.Varint).int64(step);
  what(writer);
  return writer.finish();
}

/** CRC-32C (Castagnoli), rotated and shifted, so that the checksum of data with checksums in it is no fixed point. */
function checksum(data: Uint8Array): Buffer {
  let crc = 0xffffffff;
  for (const byte of data) crc = (castagnoli[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  crc = ~crc >>> 0;
  const masked = Buffer.alloc(4);
  masked.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return masked;
}

const castagnoli = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});
