import type { GgufCursor } from './cursor.js';

/** A metadata value. Arrays of numbers and booleans come as arrays of numbers and booleans, nested ones as they are. */
export type GgufValue = number | boolean | string | readonly GgufValue[];

/** Numbers of the value types in a file (enum gguf_type), and the fewest bytes that a value takes. */
const STRING = 8;
const ARRAY = 9;
const TYPES: ReadonlyMap<number, { bytes: number; read: (cursor: GgufCursor) => (what: string) => GgufValue }> =
  new Map([
    [0, { bytes: 1, read: (c) => c.u8 }],
    [1, { bytes: 1, read: (c) => c.i8 }],
    [2, { bytes: 2, read: (c) => c.u16 }],
    [3, { bytes: 2, read: (c) => c.i16 }],
    [4, { bytes: 4, read: (c) => c.u32 }],
    [5, { bytes: 4, read: (c) => c.i32 }],
    [6, { bytes: 4, read: (c) => c.f32 }],
    [7, { bytes: 1, read: (c) => c.bool }],
    [STRING, { bytes: 8, read: (c) => c.string }],
    [10, { bytes: 8, read: (c) => c.u64 }],
    [11, { bytes: 8, read: (c) => c.i64 }],
    [12, { bytes: 8, read: (c) => c.f64 }],
  ] as [number, { bytes: number; read: (cursor: GgufCursor) => (what: string) => GgufValue }][]);

/** Arrays of arrays deeper than this are refused; no writer makes them. */
const MAX_DEPTH = 4;
/** The arrays of a file may hold this many values together; a large vocabulary takes a million. */
const MAX_VALUES = 2 ** 24;

/**
 * Reads `count` key-value pairs. A key that comes twice is refused.
 * @param wanted arrays under other keys are checked, and left out
 */
export function readMetadata(
  cursor: GgufCursor,
  count: number,
  wanted: (key: string) => boolean,
): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  const budget = { values: MAX_VALUES };
  for (let i = 0; i < count; i++) {
    const key = cursor.string(`metadata key ${i}`);
    const what = `the value of ${JSON.stringify(key.slice(0, 120))}`;
    if (metadata.has(key)) throw cursor.invalid(`the metadata key ${JSON.stringify(key.slice(0, 120))} comes twice`);
    const type = cursor.u32(`the type of ${what}`);
    if (type !== ARRAY || wanted(key)) metadata.set(key, readValue(cursor, type, what, 0, budget));
    else skipArray(cursor, what, 0, budget);
  }
  return metadata;
}

function readValue(
  cursor: GgufCursor,
  type: number,
  what: string,
  depth: number,
  budget: { values: number },
): GgufValue {
  if (type !== ARRAY) return typeOf(cursor, type, what).read(cursor)(what);
  const { elementType, length } = arrayHead(cursor, what, depth, budget);
  const values: GgufValue[] = [];
  if (elementType === ARRAY) {
    for (let i = 0; i < length; i++) values.push(readValue(cursor, ARRAY, what, depth + 1, budget));
  } else {
    const read = typeOf(cursor, elementType, what).read(cursor);
    for (let i = 0; i < length; i++) values.push(read(what));
  }
  return values;
}

/** What `readValue` checks of an array, without keeping its values. */
function skipArray(cursor: GgufCursor, what: string, depth: number, budget: { values: number }): void {
  const { elementType, length } = arrayHead(cursor, what, depth, budget);
  if (elementType === ARRAY) {
    for (let i = 0; i < length; i++) skipArray(cursor, what, depth + 1, budget);
    return;
  }
  const skip = elementType === STRING ? cursor.skipString : typeOf(cursor, elementType, what).read(cursor);
  for (let i = 0; i < length; i++) skip(what);
}

function arrayHead(cursor: GgufCursor, what: string, depth: number, budget: { values: number }) {
  if (depth === MAX_DEPTH) throw cursor.invalid(`${what} is nested more than ${MAX_DEPTH} deep`);
  const elementType = cursor.u32(`the element type of ${what}`);
  // An array in an array takes at least its type and length.
  const least = elementType === ARRAY ? 12 : typeOf(cursor, elementType, what).bytes;
  const length = cursor.count(`the length of ${what}`, Math.floor(cursor.remaining / least));
  budget.values -= length;
  if (budget.values < 0) throw cursor.invalid(`its metadata arrays hold more than ${MAX_VALUES} values`);
  return { elementType, length };
}

function typeOf(cursor: GgufCursor, type: number, what: string) {
  const entry = TYPES.get(type);
  if (!entry) throw cursor.invalid(`${what} has the unknown type ${type}`);
  return entry;
}
