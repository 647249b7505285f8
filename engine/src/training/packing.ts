/**
 * Rows put together into bins of at most `capacity` tokens. Bin b holds rows `rows[starts[b]] .. rows[starts[b + 1] - 1]`.
 * Two flat arrays, so that millions of rows cost a few bytes each.
 */
export interface Bins {
  readonly starts: Uint32Array;
  readonly rows: Uint32Array;
}

/** One row a bin, in order: no packing. */
export function unpackedBins(rows: ArrayLike<number>): Bins {
  return {
    rows: Uint32Array.from(rows),
    starts: Uint32Array.from({ length: rows.length + 1 }, (_, bin) => bin),
  };
}

/**
 * Best-fit decreasing ("Fewer Truncations Improve Language Modeling", Ding et al. 2024), with the order and the ties of
 * TRL's `packing_strategy='bfd'`: rows of a window, longest first, each into the fullest bin that still has room.
 * @param lengths tokens of each row, 0 < length <= capacity
 * @param options.rows indices of the rows to pack; all by default
 * @param options.window rows packed together; TRL packs 1,000 at a time. Small windows keep the order of the data.
 */
export function packBestFitDecreasing(
  lengths: ArrayLike<number>,
  capacity: number,
  options: { rows?: ArrayLike<number>; window?: number } = {},
): Bins {
  const window = options.window ?? 1000;
  const rows = Uint32Array.from(options.rows ?? { length: lengths.length }, (row, i) => (options.rows ? row : i));
  const packed = new Uint32Array(rows.length);
  const starts: number[] = [0];
  let written = 0;
  const packer = new WindowPacker(capacity);
  for (let from = 0; from < rows.length; from += window) {
    const ordered = rows.slice(from, from + window);
    // Array.prototype.sort is stable: rows of one length keep their order.
    ordered.sort((a, b) => (lengths[b] as number) - (lengths[a] as number));
    for (const bin of packer.pack(ordered, lengths)) {
      for (const row of bin) packed[written++] = row;
      starts.push(written);
    }
  }
  return { starts: Uint32Array.from(starts), rows: packed };
}

/** Packs one window; its search tree over the room left in bins is reused for the next. */
class WindowPacker {
  private readonly leaves: number;
  /** tree[1] is the root; a node holds the largest room among the open bins below it. */
  private readonly tree: Uint32Array;

  constructor(private readonly capacity: number) {
    this.leaves = 2 ** Math.ceil(Math.log2(Math.max(2, capacity)));
    this.tree = new Uint32Array(2 * this.leaves);
  }

  pack(rows: Uint32Array, lengths: ArrayLike<number>): number[][] {
    this.tree.fill(0);
    const bins: number[][] = [];
    const open = new Map<number, number[]>();
    for (const row of rows) {
      const length = lengths[row] as number;
      if (!(length > 0 && length <= this.capacity)) {
        throw new RangeError(`row ${row} has ${length} tokens; packing takes 1 to ${this.capacity}`);
      }
      const room = this.smallestRoom(length);
      let bin: number;
      if (room === 0) {
        bin = bins.push([]) - 1;
      } else {
        const waiting = open.get(room) as number[];
        bin = waiting.shift() as number;
        if (waiting.length === 0) this.setRoom(room, false);
      }
      (bins[bin] as number[]).push(row);
      const left = (room === 0 ? this.capacity : room) - length;
      if (left === 0) continue;
      const queue = open.get(left);
      if (queue) queue.push(bin);
      else open.set(left, [bin]);
      this.setRoom(left, true);
    }
    return bins;
  }

  /** The least room of an open bin that takes `length` tokens; 0 when none does. */
  private smallestRoom(length: number): number {
    if ((this.tree[1] as number) < length) return 0;
    let node = 1;
    while (node < this.leaves) node = (this.tree[2 * node] as number) >= length ? 2 * node : 2 * node + 1;
    return this.tree[node] as number;
  }

  private setRoom(room: number, present: boolean): void {
    let node = this.leaves + room - 1;
    this.tree[node] = present ? room : 0;
    while (node > 1) {
      node >>= 1;
      this.tree[node] = Math.max(this.tree[2 * node] as number, this.tree[2 * node + 1] as number);
    }
  }
}
