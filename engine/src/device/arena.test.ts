import { expect, test } from 'vitest';
import { PhiloxStream } from '../training/random.js';
import { type Allocation, Arena, PersistentArena, type SlabSource } from './arena.js';

class Slabs implements SlabSource {
  readonly live = new Map<number, number>();
  private next = 1;

  constructor(private readonly limit = Number.POSITIVE_INFINITY) {}

  get bytes(): number {
    return [...this.live.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  alloc(bytes: number): number {
    if (this.bytes + bytes > this.limit) throw new Error('out of memory');
    this.live.set(this.next, bytes);
    return this.next++;
  }

  free(buffer: number): void {
    if (!this.live.delete(buffer)) throw new Error(`buffer ${buffer} is not live`);
  }
}

test('pieces in use never overlap, lie in their slabs, and are all given back', () => {
  const slabs = new Slabs();
  const arena = new Arena(slabs);
  const random = new PhiloxStream(1, 1);
  const live: Allocation[] = [];
  for (let step = 0; step < 4000; step++) {
    if (live.length > 0 && random.below(100) < (step < 2000 ? 40 : 60)) {
      live.splice(random.below(live.length), 1)[0]!.free();
      continue;
    }
    const size = 1 + random.below(2 ** (4 + random.below(20)));
    const piece = arena.allocate(size);
    expect(piece.bytes).toBeGreaterThanOrEqual(size);
    expect(piece.byteOffset % 256).toBe(0);
    expect(piece.byteOffset + piece.bytes).toBeLessThanOrEqual(slabs.live.get(piece.buffer)!);
    for (const other of live) {
      const apart =
        other.buffer !== piece.buffer ||
        other.byteOffset + other.bytes <= piece.byteOffset ||
        piece.byteOffset + piece.bytes <= other.byteOffset;
      if (!apart) expect.fail(`[${piece.byteOffset}, +${piece.bytes}) overlaps [${other.byteOffset}, +${other.bytes})`);
    }
    live.push(piece);
  }
  for (const piece of live) piece.free();
  expect(arena.counters.bytesInUse).toBe(0);
  expect(arena.counters.bytesReserved).toBe(slabs.bytes);
  expect(arena.trim()).toBeGreaterThan(0);
  expect(slabs.bytes).toBe(0);
  expect(arena.counters.bytesReserved).toBe(0);
});

test('a piece wastes at most an eighth beyond the smallest unit', () => {
  const arena = new Arena(new Slabs());
  for (const size of [4097, 10_000, 123_457, 1_000_001, 33_554_433]) {
    expect(arena.allocate(size).bytes).toBeLessThanOrEqual(size * 1.125 + 256);
  }
});

test('freed memory is used again at once', () => {
  const arena = new Arena(new Slabs());
  const first = arena.allocate(100_000);
  first.free();
  const second = arena.allocate(100_000);
  expect([second.buffer, second.byteOffset]).toEqual([first.buffer, first.byteOffset]);
});

test('a step that repeats takes nothing from the device', () => {
  const slabs = new Slabs();
  const arena = new Arena(slabs);
  const step = () => {
    const random = new PhiloxStream(3, 1);
    const live: Allocation[] = [];
    for (let i = 0; i < 300; i++) {
      if (live.length > 20 && random.below(2) === 0) live.splice(random.below(live.length), 1)[0]!.free();
      else live.push(arena.allocate(1 + random.below(2_000_000)));
    }
    for (const piece of live) piece.free();
  };
  step();
  const { slabAllocations } = arena.counters;
  for (let i = 0; i < 20; i++) step();
  expect(arena.counters.slabAllocations).toBe(slabAllocations);
});

test('near the limit a slab is only as large as what is asked for', () => {
  const arena = new Arena(new Slabs(3 * 2 ** 20));
  expect(arena.allocate(2 ** 20).bytes).toBe(2 ** 20);
  expect(() => arena.allocate(2 ** 22)).toThrow('out of memory');
});

test('freeing twice is a fault that shows', () => {
  const arena = new Arena(new Slabs());
  const piece = arena.allocate(1000);
  piece.free();
  expect(() => piece.free()).toThrow('freed twice');
});

test('large long-lived pieces are buffers of their own, which freeing gives back', () => {
  const slabs = new Slabs();
  const arena = new PersistentArena(slabs);
  const weight = arena.allocate(5_000_001);
  expect(slabs.live.get(weight.buffer)).toBe(5_000_001);
  const norm = arena.allocate(2304);
  expect(arena.bytesInUse).toBe(5_000_001 + norm.bytes);
  weight.free();
  expect(slabs.live.has(weight.buffer)).toBe(false);
});
