/** A piece of a device buffer. */
export interface Allocation {
  readonly buffer: number;
  readonly byteOffset: number;
  readonly bytes: number;
  /** Gives the memory back. Commands recorded later may be given it at once. */
  free(): void;
}

/** Where an arena takes its slabs from. */
export interface SlabSource {
  alloc(bytes: number): number;
  free(buffer: number): void;
}

export interface ArenaCounters {
  /** Pieces handed out so far. */
  allocations: number;
  /** Slabs taken from the device so far; constant in a steady state. */
  slabAllocations: number;
  bytesInUse: number;
  peakBytes: number;
  bytesReserved: number;
}

const UNIT = 256;
/** Size classes between two powers of two: at most an eighth of a piece is unused. */
const STEPS = 8;
const OCTAVES = 40;
const FIRST_SLAB = 4 * 2 ** 20;
const LARGEST_STEP = 512 * 2 ** 20;

interface Slab {
  readonly buffer: number;
  readonly bytes: number;
}

/** A free or used range of a slab, linked to its neighbours so that free ranges coalesce. */
class Range implements Allocation {
  free_ = true;
  before: Range | undefined;
  after: Range | undefined;
  /** Place in its list of free ranges. */
  place = -1;

  constructor(
    private readonly arena: Arena,
    readonly slab: Slab,
    readonly byteOffset: number,
    public bytes: number,
  ) {}

  get buffer(): number {
    return this.slab.buffer;
  }

  free(): void {
    this.arena.release(this);
  }
}

/**
 * Hands out short-lived memory from slabs: sizes are rounded up to classes (eight per power of two), a freed range joins
 * its free neighbours, and a new one is cut from the smallest free range that is large enough. Because the device's queue
 * runs in order, freed memory is reused at once; a step that repeats finds every range where it left it, and takes
 * nothing from the device.
 */
export class Arena {
  readonly counters: ArenaCounters = {
    allocations: 0,
    slabAllocations: 0,
    bytesInUse: 0,
    peakBytes: 0,
    bytesReserved: 0,
  };
  /** Free ranges by class, and for each octave a mask of the classes that have any. */
  private readonly lists: Range[][] = Array.from({ length: OCTAVES * STEPS }, () => []);
  private readonly masks = new Uint8Array(OCTAVES);

  constructor(private readonly source: SlabSource) {}

  allocate(bytes: number): Allocation {
    const size = roundToClass(bytes);
    let range = this.take(size);
    if (!range) {
      this.addSlab(size);
      range = this.take(size)!;
    }
    range.free_ = false;
    if (range.bytes - size >= UNIT) {
      const rest = new Range(this, range.slab, range.byteOffset + size, range.bytes - size);
      range.bytes = size;
      rest.before = range;
      rest.after = range.after;
      if (rest.after) rest.after.before = rest;
      range.after = rest;
      this.insert(rest);
    }
    const { counters } = this;
    counters.allocations++;
    counters.bytesInUse += range.bytes;
    counters.peakBytes = Math.max(counters.peakBytes, counters.bytesInUse);
    return range;
  }

  /** Frees a range; called by `Allocation.free`. */
  release(range: Range): void {
    if (range.free_) throw new Error('memory was freed twice');
    this.counters.bytesInUse -= range.bytes;
    const { before, after } = range;
    if (after?.free_) {
      this.remove(after);
      range.bytes += after.bytes;
      range.after = after.after;
      if (range.after) range.after.before = range;
    }
    range.free_ = true;
    if (!before?.free_) {
      this.insert(range);
      return;
    }
    this.remove(before);
    before.bytes += range.bytes;
    before.after = range.after;
    if (before.after) before.after.before = before;
    this.insert(before);
  }

  /** Gives slabs that nothing uses back to the device; returns the bytes. Recorded commands must be submitted before. */
  trim(): number {
    let freed = 0;
    for (const list of this.lists) {
      for (const range of [...list]) {
        if (range.before || range.after) continue;
        this.remove(range);
        this.source.free(range.slab.buffer);
        freed += range.slab.bytes;
      }
    }
    this.counters.bytesReserved -= freed;
    return freed;
  }

  /** Bytes of slabs that an allocation of `bytes` would add. */
  private addSlab(size: number): void {
    // Slabs grow with what is reserved, so that their number stays small and large tensors find room in them.
    const step = Math.min(Math.max(FIRST_SLAB, this.counters.bytesReserved / 2), LARGEST_STEP);
    const wanted = Math.ceil(Math.max(size, step) / FIRST_SLAB) * FIRST_SLAB;
    let bytes = wanted;
    let buffer: number;
    try {
      buffer = this.source.alloc(bytes);
    } catch (error) {
      bytes = Math.ceil(size / UNIT) * UNIT;
      if (bytes === wanted) throw error;
      buffer = this.source.alloc(bytes);
    }
    this.counters.slabAllocations++;
    this.counters.bytesReserved += bytes;
    this.insert(new Range(this, { buffer, bytes }, 0, bytes));
  }

  /** Takes out the free range of the smallest class that holds `size`. */
  private take(size: number): Range | undefined {
    const first = classAbove(size);
    let octave = Math.floor(first / STEPS);
    let mask = this.masks[octave]! & (0xff << (first % STEPS));
    while (mask === 0) {
      if (++octave >= OCTAVES) return undefined;
      mask = this.masks[octave]!;
    }
    const list = this.lists[octave * STEPS + 31 - Math.clz32(mask & -mask)]!;
    const range = list.at(-1)!;
    this.remove(range);
    return range;
  }

  private insert(range: Range): void {
    const index = classBelow(range.bytes);
    const list = this.lists[index]!;
    range.place = list.length;
    list.push(range);
    this.masks[Math.floor(index / STEPS)]! |= 1 << (index % STEPS);
  }

  private remove(range: Range): void {
    const index = classBelow(range.bytes);
    const list = this.lists[index]!;
    const last = list.pop()!;
    if (last !== range) {
      list[range.place] = last;
      last.place = range.place;
    }
    if (list.length === 0) this.masks[Math.floor(index / STEPS)]! &= ~(1 << (index % STEPS));
  }
}

/** The largest class whose size is at most `bytes`. */
function classBelow(bytes: number): number {
  const units = bytes / UNIT;
  const octave = units < 2 ** 31 ? 31 - Math.clz32(units) : Math.floor(Math.log2(units));
  return octave * STEPS + Math.floor((units / 2 ** octave - 1) * STEPS);
}

/** The smallest class whose size is at least `bytes`. */
function classAbove(bytes: number): number {
  const below = classBelow(bytes);
  return classBytes(below) >= bytes ? below : below + 1;
}

function classBytes(index: number): number {
  return 2 ** Math.floor(index / STEPS) * (1 + (index % STEPS) / STEPS) * UNIT;
}

/** What a request is rounded up to: the size of its class, in whole units. */
function roundToClass(bytes: number): number {
  return Math.ceil(classBytes(classAbove(Math.max(bytes, UNIT))) / UNIT) * UNIT;
}

/**
 * Long-lived memory: weights and optimiser state. Large pieces are buffers of their own, given back to the device when
 * freed; small ones share slabs.
 */
export class PersistentArena {
  private static readonly DEDICATED = 2 ** 20;
  private readonly small: Arena;
  private dedicated = 0;

  constructor(private readonly source: SlabSource) {
    this.small = new Arena(source);
  }

  get bytesInUse(): number {
    return this.small.counters.bytesInUse + this.dedicated;
  }

  allocate(bytes: number): Allocation {
    if (bytes < PersistentArena.DEDICATED) return this.small.allocate(bytes);
    const { source } = this;
    const buffer = source.alloc(bytes);
    this.dedicated += bytes;
    const free = () => {
      this.dedicated -= bytes;
      source.free(buffer);
    };
    return { buffer, byteOffset: 0, bytes, free };
  }

  trim(): number {
    return this.small.trim();
  }
}
