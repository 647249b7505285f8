import { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The likeliest tokens of some positions and their log-probabilities, [targets, k]. */
export interface TopK {
  readonly tokens: Int32Array;
  readonly logProbabilities: Float32Array;
}

const names = { offsets: 'offsets.f64', tokens: 'tokens.i32', logProbabilities: 'log_probabilities.f32' } as const;

/** Writes the likeliest tokens of rows, one row after the other, into a folder. */
export class TopKWriter {
  private readonly tokens: number;
  private readonly logProbabilities: number;
  private readonly offsets: number[] = [0];

  constructor(
    private readonly folder: string,
    private readonly k: number,
  ) {
    this.tokens = openSync(join(folder, names.tokens), 'w');
    this.logProbabilities = openSync(join(folder, names.logProbabilities), 'w');
  }

  append({ tokens, logProbabilities }: TopK): void {
    writeAll(this.tokens, tokens);
    writeAll(this.logProbabilities, logProbabilities);
    this.offsets.push((this.offsets.at(-1) as number) + tokens.length / this.k);
  }

  /** Ends the files. */
  finish(): void {
    writeFileSync(join(this.folder, names.offsets), new Uint8Array(Float64Array.from(this.offsets).buffer));
    this.close();
  }

  close(): void {
    closeSync(this.tokens);
    closeSync(this.logProbabilities);
  }
}

/** Reads rows of what a `TopKWriter` wrote. Memory holds where each row begins. */
export class TopKReader {
  private constructor(
    private readonly tokens: number,
    private readonly logProbabilities: number,
    private readonly offsets: Float64Array,
    private readonly k: number,
  ) {}

  /** Undefined when the folder has no such files, or others than those of `rows` rows. */
  static open(folder: string, rows: number, k: number): TopKReader | undefined {
    let offsets: Float64Array;
    const descriptors: number[] = [];
    try {
      offsets = new Float64Array(new Uint8Array(readFileSync(join(folder, names.offsets))).buffer);
      for (const name of [names.tokens, names.logProbabilities]) descriptors.push(openSync(join(folder, name), 'r'));
    } catch {
      for (const descriptor of descriptors) closeSync(descriptor);
      return undefined;
    }
    const bytes = 4 * k * (offsets.at(-1) ?? -1);
    const whole =
      offsets.length === rows + 1 && descriptors.every((descriptor) => fstatSync(descriptor).size === bytes);
    if (whole) return new TopKReader(descriptors[0] as number, descriptors[1] as number, offsets, k);
    for (const descriptor of descriptors) closeSync(descriptor);
    return undefined;
  }

  row(row: number): TopK {
    const [from, to] = [this.offsets[row] as number, this.offsets[row + 1] as number];
    const tokens = new Int32Array((to - from) * this.k);
    const logProbabilities = new Float32Array(tokens.length);
    readAll(this.tokens, tokens, 4 * this.k * from);
    readAll(this.logProbabilities, logProbabilities, 4 * this.k * from);
    return { tokens, logProbabilities };
  }

  close(): void {
    closeSync(this.tokens);
    closeSync(this.logProbabilities);
  }
}

function writeAll(descriptor: number, values: Int32Array | Float32Array): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
}

function readAll(descriptor: number, into: Int32Array | Float32Array, position: number): void {
  const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
  for (let done = 0; done < bytes.length; ) {
    const read = readSync(descriptor, bytes, done, bytes.length - done, position + done);
    if (read === 0) throw new Error("a file of a teacher's logits was cut off while it was in use");
    done += read;
  }
}
