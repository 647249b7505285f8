import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/**
 * Records of a run, as wandb/proto/wandb_internal.proto numbers their fields. Values are JSON texts there.
 */
type Values = Readonly<Record<string, unknown>>;

/** Fields of the message `Record` that hold each kind of record. */
const field = { history: 2, summary: 3, run: 17, exit: 18, header: 21 } as const;

/** Begins every file: who wrote it, and from which version of the server on it can be read. */
export function headerRecord(): Uint8Array {
  const version = new BinaryWriter();
  text(version, 1, 'largeforge');
  text(version, 2, '0.10.0');
  return record(0, field.header, (writer) => message(writer, 1, version));
}

export interface RunFields {
  readonly id: string;
  readonly entity: string;
  readonly project: string;
  readonly name: string;
  readonly group: string;
  readonly tags: readonly string[];
  readonly host: string;
  readonly startedAt: Date;
  readonly config: Values;
}

export function runRecord(num: number, run: RunFields): Uint8Array {
  return record(num, field.run, (writer) => {
    text(writer, 1, run.id);
    text(writer, 2, run.entity);
    text(writer, 3, run.project);
    const config = new BinaryWriter();
    for (const [key, value] of Object.entries(run.config)) message(config, 1, item(key, value));
    message(writer, 4, config);
    text(writer, 6, run.group);
    text(writer, 8, run.name);
    for (const tag of run.tags) text(writer, 10, tag);
    text(writer, 13, run.host);
    const milliseconds = run.startedAt.getTime();
    const start = new BinaryWriter();
    start.tag(1, WireType.Varint).int64(Math.floor(milliseconds / 1000));
    start.tag(2, WireType.Varint).int32((milliseconds % 1000) * 1e6);
    message(writer, 17, start);
  });
}

/** What is plotted at a step; steps ascend. */
export function historyRecord(num: number, step: number, values: Values): Uint8Array {
  return record(num, field.history, (writer) => {
    for (const [key, value] of Object.entries(values)) message(writer, 1, item(key, value));
    const at = new BinaryWriter();
    at.tag(1, WireType.Varint).int64(step);
    message(writer, 2, at);
  });
}

/** The last values of a run. */
export function summaryRecord(num: number, values: Values): Uint8Array {
  return record(num, field.summary, (writer) => {
    for (const [key, value] of Object.entries(values)) message(writer, 1, item(key, value));
  });
}

/** Ends a run: 0 is a success. */
export function exitRecord(num: number, exitCode: number, seconds: number): Uint8Array {
  return record(num, field.exit, (writer) => {
    writer.tag(1, WireType.Varint).int32(exitCode);
    writer.tag(2, WireType.Varint).int32(seconds);
  });
}

function record(num: number, kind: number, write: (writer: BinaryWriter) => void): Uint8Array {
  const inner = new BinaryWriter();
  write(inner);
  const outer = new BinaryWriter();
  outer.tag(1, WireType.Varint).int64(num);
  message(outer, kind, inner);
  return outer.finish();
}

/** A key and its value: ConfigItem, HistoryItem and SummaryItem have the same fields. */
function item(key: string, value: unknown): BinaryWriter {
  const writer = new BinaryWriter();
  text(writer, 1, key);
  // JSON has no numbers that are not finite: the official client writes their names.
  const finite = typeof value !== 'number' || Number.isFinite(value);
  text(writer, 16, JSON.stringify(finite ? (value ?? null) : String(value)));
  return writer;
}

function message(writer: BinaryWriter, number: number, inner: BinaryWriter): void {
  writer.tag(number, WireType.LengthDelimited).bytes(inner.finish());
}

function text(writer: BinaryWriter, number: number, value: string): void {
  if (value !== '') writer.tag(number, WireType.LengthDelimited).string(value);
}
