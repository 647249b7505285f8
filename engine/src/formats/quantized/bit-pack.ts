/**
 * Packs each row of codes into 32-bit words as one stream of bits, least significant first: code i of a row is bits
 * i * bits to (i + 1) * bits. Where bits divide 32 no code spans words; of 3 bits, 32 codes take three words, as GPTQModel
 * has them.
 * @param codes [rows, columns], each below 2^bits; columns * bits must be a multiple of 32
 * @returns [rows, columns * bits / 32]
 */
export function packRows(codes: Uint8Array, rows: number, columns: number, bits: number): Int32Array {
  const words = wordsOf(columns, bits);
  const packed = new Int32Array(rows * words);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const code = codes[row * columns + column]!;
      const bit = column * bits;
      const word = row * words + (bit >>> 5);
      const shift = bit & 31;
      packed[word]! |= code << shift;
      if (shift + bits > 32) packed[word + 1]! |= code >>> (32 - shift);
    }
  }
  return packed;
}

/** The codes [rows, columns] that `packRows` packed. */
export function unpackRows(packed: Int32Array, rows: number, columns: number, bits: number): Uint8Array {
  const words = wordsOf(columns, bits);
  const codes = new Uint8Array(rows * columns);
  const mask = (1 << bits) - 1;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const bit = column * bits;
      const word = row * words + (bit >>> 5);
      const shift = bit & 31;
      let code = packed[word]! >>> shift;
      if (shift + bits > 32) code |= packed[word + 1]! << (32 - shift);
      codes[row * columns + column] = code & mask;
    }
  }
  return codes;
}

/** Words that a row of `columns` codes takes. Throws RangeError when they are no whole number. */
export function wordsOf(columns: number, bits: number): number {
  const words = (columns * bits) / 32;
  if (!Number.isInteger(words)) {
    throw new RangeError(`${columns} codes of ${bits} bits are no whole number of 32-bit words`);
  }
  return words;
}

/** A matrix [rows, columns] as [columns, rows]. */
export function transposed<T extends Uint8Array | Int32Array | Float32Array>(
  values: T,
  rows: number,
  columns: number,
): T {
  const out = new (values.constructor as new (length: number) => T)(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[column * rows + row] = values[row * columns + column]!;
  }
  return out;
}
