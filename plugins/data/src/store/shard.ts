import {
  Field,
  Int32,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableFromIPC,
  tableToIPC,
  Uint8,
  Uint32,
} from 'apache-arrow';
import type { Verdict } from '../formats/format.js';

/** Tokenised rows, flat: row i has tokens `offsets[i]` to `offsets[i + 1]`. */
export interface TokenColumns {
  readonly offsets: Int32Array;
  readonly tokens: Int32Array;
  readonly mask: Uint8Array;
  /** Line of the source file on which each row begins. */
  readonly lines: Uint32Array;
  /** Index of each row's verdict in `verdicts`; 0 where it has none. */
  readonly verdicts: Uint8Array;
}

/** What the numbers in a column of verdicts mean. */
export const verdicts: readonly (Verdict | undefined)[] = [undefined, 'chosen', 'rejected'];

/** Where the columns of a shard lie in its file, in bytes. */
export interface ShardPlaces {
  readonly offsets: number;
  readonly tokens: number;
  readonly mask: number;
  readonly verdicts: number;
}

/**
 * A shard as an Arrow IPC file with one record batch: `tokens` list<int32>, `mask` list<uint8>, `line` uint32,
 * `verdict` uint8. Any Arrow reader takes it; ours reads single rows at the returned places.
 */
export function encodeShard(columns: TokenColumns): { bytes: Uint8Array; places: ShardPlaces } {
  const rows = columns.offsets.length - 1;
  const schema = new Schema([
    new Field('tokens', new List(new Field('item', new Int32(), false)), false),
    new Field('mask', new List(new Field('item', new Uint8(), false)), false),
    new Field('line', new Uint32(), false),
    new Field('verdict', new Uint8(), false),
  ]);
  const [tokens, mask, line, verdict] = schema.fields as [
    Field<List<Int32>>,
    Field<List<Uint8>>,
    Field<Uint32>,
    Field<Uint8>,
  ];
  const batch = new RecordBatch(
    schema,
    makeData({
      type: new Struct(schema.fields),
      length: rows,
      nullCount: 0,
      children: [
        makeData({
          type: tokens.type,
          length: rows,
          nullCount: 0,
          valueOffsets: columns.offsets,
          child: makeData({ type: new Int32(), length: columns.tokens.length, nullCount: 0, data: columns.tokens }),
        }),
        makeData({
          type: mask.type,
          length: rows,
          nullCount: 0,
          valueOffsets: columns.offsets,
          child: makeData({ type: new Uint8(), length: columns.mask.length, nullCount: 0, data: columns.mask }),
        }),
        makeData({ type: line.type, length: rows, nullCount: 0, data: columns.lines }),
        makeData({ type: verdict.type, length: rows, nullCount: 0, data: columns.verdicts }),
      ],
    }),
  );
  const bytes = tableToIPC(new Table([batch]), 'file');
  return { bytes, places: placesIn(bytes) };
}

/** The columns of a shard are views of its bytes when it is read back: that tells where they lie. */
function placesIn(bytes: Uint8Array): ShardPlaces {
  const table = tableFromIPC(bytes);
  const list = table.getChild('tokens')?.data[0];
  const mask = table.getChild('mask')?.data[0];
  const verdict = table.getChild('verdict')?.data[0];
  if (!list || !mask || !verdict || table.batches.length !== 1)
    throw new Error('an Arrow shard must hold one record batch');
  const at = (view: ArrayBufferView) => {
    if (view.buffer !== bytes.buffer) throw new Error('the Arrow reader copied a column');
    return view.byteOffset - bytes.byteOffset;
  };
  return {
    offsets: at(list.valueOffsets),
    tokens: at(list.children[0]?.values as Int32Array),
    mask: at(mask.children[0]?.values as Uint8Array),
    verdicts: at(verdict.values as Uint8Array),
  };
}
