import { dataErrors } from '../errors.js';
import { type RawRow, type RowLimits, rawRow, tooLong } from './raw-row.js';

const [quote, backslash, comma, newline] = [0x22, 0x5c, 0x2c, 0x0a];
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Where the reader stands: before the list, before an element, in one, behind one, behind the list. */
type Place = 'start' | 'value' | 'element' | 'separator' | 'end';

/**
 * Elements of the list that a JSON file consists of, without parsing them: bytes are only followed through strings and
 * brackets, so that a file larger than memory can be read. What is inside an element is its own row's problem; what is
 * between elements is an error of the file.
 * @param chunks the file's bytes, without byte order mark
 * @throws LF_DATA_JSON_SYNTAX naming file and line: truncated, text after the list, a missing or superfluous comma
 */
export async function* jsonArray(
  chunks: AsyncIterable<Buffer>,
  limits: RowLimits,
  file: string,
): AsyncGenerator<RawRow[]> {
  const scanner = new ArrayScanner(limits, file);
  for await (const chunk of chunks) {
    const rows = scanner.scan(chunk);
    if (rows.length > 0) yield rows;
  }
  scanner.finish();
}

class ArrayScanner {
  private place: Place = 'start';
  private line = 1;
  private row = 0;
  /** Brackets open inside the current element. */
  private depth = 0;
  private inString = false;
  private escaped = false;
  private elementLine = 1;
  private kept: Buffer[] = [];
  private keptBytes = 0;
  /** Whether an element is being read that is neither list, object nor string: it ends where the next byte says. */
  private bare = false;

  constructor(
    private readonly limits: RowLimits,
    private readonly file: string,
  ) {}

  scan(chunk: Buffer): RawRow[] {
    const rows: RawRow[] = [];
    /** Where the current element begins in this chunk; -1 between elements. */
    let start = this.place === 'element' ? 0 : -1;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (byte === newline) this.line++;
      if (this.place === 'element') {
        if (!this.endsElement(byte)) continue;
        const end = this.bare ? at : at + 1;
        rows.push(this.element(chunk.subarray(start, end)));
        start = -1;
        this.place = 'separator';
        if (!this.bare) continue;
      }
      if (byte <= 0x20) continue;
      if (this.begins(byte)) start = at;
    }
    if (start >= 0) this.keep(chunk.subarray(start));
    return rows;
  }

  /** Refuses a file that ended too early. */
  finish(): void {
    if (this.place === 'end') return;
    const detail =
      this.place === 'element'
        ? `the file ends inside row ${this.row + 1}, which begins on line ${this.elementLine}`
        : `the file ends after row ${this.row}, before the list is closed with ']'`;
    throw this.syntax(`${detail}; it seems to be cut off`);
  }

  /** Handles a byte between elements; true when an element begins with it. */
  private begins(byte: number): boolean {
    switch (this.place) {
      case 'start':
        if (byte !== openList) throw this.syntax(`expected '[', found ${shown(byte)}`);
        this.place = 'value';
        return false;
      case 'separator':
        if (byte !== comma && byte !== closeList) {
          throw this.syntax(`expected ',' or ']' after row ${this.row}, found ${shown(byte)}`);
        }
        this.place = byte === comma ? 'value' : 'end';
        return false;
      case 'value':
        if (byte === closeList) {
          if (this.row > 0) throw this.syntax(`a comma after row ${this.row}, the last of the list`);
          this.place = 'end';
          return false;
        }
        if (byte === comma) throw this.syntax(`a comma where row ${this.row + 1} should begin`);
        this.beginElement(byte);
        return true;
      case 'end':
        throw this.syntax(`text after the end of the list: ${shown(byte)}`);
      case 'element':
        return false;
    }
  }

  private beginElement(byte: number): void {
    this.place = 'element';
    this.elementLine = this.line;
    this.inString = byte === quote;
    this.escaped = false;
    this.depth = byte === openList || byte === openObject ? 1 : 0;
    this.bare = this.depth === 0 && !this.inString;
  }

  private endsElement(byte: number): boolean {
    if (this.inString) {
      if (this.escaped) this.escaped = false;
      else if (byte === backslash) this.escaped = true;
      else if (byte === quote) {
        this.inString = false;
        return this.depth === 0;
      }
      return false;
    }
    if (this.bare) return byte === comma || byte === closeList || byte <= 0x20;
    if (byte === quote) this.inString = true;
    else if (byte === openList || byte === openObject) this.depth++;
    else if (byte === closeList || byte === closeObject) return --this.depth === 0;
    return false;
  }

  private keep(bytes: Buffer): void {
    this.keptBytes += bytes.length;
    if (this.keptBytes <= this.limits.maxRowBytes) this.kept.push(bytes);
    else this.kept = [];
  }

  private element(bytes: Buffer): RawRow {
    this.keep(bytes);
    this.row++;
    const long = this.keptBytes > this.limits.maxRowBytes;
    const whole = this.kept.length === 1 ? (this.kept[0] as Buffer) : Buffer.concat(this.kept);
    this.kept = [];
    this.keptBytes = 0;
    return long ? tooLong(this.row, this.elementLine, this.limits) : rawRow(this.row, this.elementLine, whole);
  }

  private syntax(detail: string): Error {
    return dataErrors.LF_DATA_JSON_SYNTAX({ file: this.file, line: this.line, detail });
  }
}

function shown(byte: number): string {
  return byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `byte 0x${byte.toString(16)}`;
}
