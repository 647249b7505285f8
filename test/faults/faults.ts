import { closeSync, openSync, readdirSync, readSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** What may happen to a training. */
export type Fault =
  /** A signal, so long after so many of its own steps; with none, after it was started. */
  | { readonly kind: 'kill' | 'term'; readonly steps: number; readonly milliseconds: number }
  /** No file can grow beyond this (RLIMIT_FSIZE). */
  | { readonly kind: 'file-limit'; readonly kibibytes: number }
  /** The disk is full after so many bytes. */
  | { readonly kind: 'full-disk'; readonly bytes: number }
  /** Killed, and then a file of its last checkpoint is cut off, or has a bit turned, at this place of its length. */
  | {
      readonly kind: 'damage';
      readonly steps: number;
      readonly file: number;
      readonly place: number;
      readonly cut: boolean;
    };

export const kinds = ['kill', 'term', 'file-limit', 'full-disk', 'damage'] as const;

/** Draws from a seed (mulberry32): numbers from 0 to 1. */
export function drawsOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A fault of every kind, in an order and with figures that follow from the seed. */
export function faultsOf(seed: number): Fault[] {
  const draw = drawsOf(seed);
  const order = [...kinds].map((kind) => ({ kind, place: draw() })).sort((a, b) => a.place - b.place);
  return order.map(({ kind }) => faultOf(kind, draw));
}

function faultOf(kind: Fault['kind'], draw: () => number): Fault {
  const steps = 1 + Math.floor(2 * draw());
  switch (kind) {
    case 'kill':
    case 'term': {
      const own = draw() < 0.15 ? 0 : steps;
      return { kind, steps: own, milliseconds: draw() * (own === 0 ? 900 : 60) };
    }
    case 'file-limit':
      return { kind, kibibytes: 1 + Math.floor(200 * draw()) };
    case 'full-disk':
      return { kind, bytes: Math.floor(3e6 * draw()) };
    case 'damage':
      return { kind, steps: 2 + steps, file: draw(), place: draw(), cut: draw() < 0.5 };
  }
}

/** Steps of which there is a checkpoint, ascending. */
export function checkpointsIn(folder: string): number[] {
  const names = readdirSync(folder, { withFileTypes: true }).map(({ name }) => /^checkpoint-(\d+)$/.exec(name)?.[1]);
  return names
    .filter((step) => step !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Damages a file of the last checkpoint, where there is one before it; gives its step. */
export function damage(folder: string, { file, place, cut }: Extract<Fault, { kind: 'damage' }>): number | undefined {
  const steps = checkpointsIn(folder);
  const last = steps.at(-1);
  if (last === undefined || steps.length < 2) return undefined;
  const checkpoint = join(folder, `checkpoint-${last}`);
  const files = readdirSync(checkpoint)
    .map((name) => join(checkpoint, name))
    .filter((path) => statSync(path).isFile() && statSync(path).size > 0)
    .sort();
  const path = files[Math.floor(file * files.length)] as string;
  const at = Math.floor(place * statSync(path).size);
  if (cut) truncateSync(path, at);
  else {
    const descriptor = openSync(path, 'r+');
    const byte = Buffer.alloc(1);
    readSync(descriptor, byte, 0, 1, at);
    byte.writeUInt8(byte.readUInt8(0) ^ 0x10);
    writeSync(descriptor, byte, 0, 1, at);
    closeSync(descriptor);
  }
  return last;
}
