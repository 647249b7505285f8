/**
 * Randomness of a training run. Nothing here has state that must be saved: every draw is a function of the run's seed,
 * a stream and a counter (Philox4x32-10, Salmon et al. 2011, the same generator as the device's RANDOM and DROPOUT),
 * so a resumed run draws what the uninterrupted one would have drawn.
 */

/** What the streams of a run are for. A stream is this number in the high 8 bits and a caller's number below. */
export const randomStreams = {
  shuffle: 1,
  split: 2,
  dropout: 3,
  noise: 4,
  initialise: 5,
  mixture: 6,
  sample: 7,
} as const;

export type RandomStream = keyof typeof randomStreams;

/** Stream word of a purpose; `number` (24 bits) tells epochs, steps or layers apart. */
export function streamOf(purpose: RandomStream, number = 0): number {
  return ((randomStreams[purpose] << 24) | (number & 0xffffff)) >>> 0;
}

/** Low and high 32 bits of a seed (a non-negative integer up to 2^53). */
export function seedWords(seed: number): [low: number, high: number] {
  return [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
}

/** Draws from one stream, in order from its beginning. */
export class PhiloxStream {
  private readonly block = new Uint32Array(4);
  private readonly low: number;
  private readonly high: number;
  private next = 0;

  constructor(
    seed: number,
    private readonly stream: number,
  ) {
    [this.low, this.high] = seedWords(seed);
  }

  /** 32 random bits. */
  uint32(): number {
    const word = this.next & 3;
    if (word === 0) philoxBlock(this.low, this.high, Math.floor(this.next / 4), this.stream, this.block);
    this.next++;
    return this.block[word] ?? 0;
  }

  /** An integer in [0, bound), without bias; `bound` up to 2^32. */
  below(bound: number): number {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const value = this.uint32();
      if (value < limit) return value % bound;
    }
  }
}

/** A random permutation of 0..length-1 (Fisher-Yates). */
export function permutation(length: number, seed: number, stream: number): Uint32Array {
  const order = new Uint32Array(length);
  for (let i = 0; i < length; i++) order[i] = i;
  const random = new PhiloxStream(seed, stream);
  for (let i = length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const kept = order[i] as number;
    order[i] = order[j] as number;
    order[j] = kept;
  }
  return order;
}

/** One block of four words of Philox4x32-10 with the counter (low and high half of `block`, stream, 0). */
export function philoxBlock(low: number, high: number, block: number, stream: number, out: Uint32Array): void {
  let c0 = block >>> 0;
  let c1 = Math.floor(block / 2 ** 32) >>> 0;
  let c2 = stream >>> 0;
  let c3 = 0;
  let k0 = low;
  let k1 = high;
  for (let round = 0; round < 10; round++) {
    const high0 = highProduct(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0) >>> 0;
    const high1 = highProduct(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** High 32 bits of the product of two 32-bit integers, from 16-bit halves. */
function highProduct(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}
