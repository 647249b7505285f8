import type { RandomKey } from '../device/commands/data.js';

/**
 * Keys of random numbers in a fixed order: the same seed gives the same dropout masks. Its whole state is how many keys
 * were given, which a checkpoint can hold.
 */
export class RandomKeys {
  constructor(
    readonly seedLow: number,
    readonly seedHigh = 0,
    private given = 0,
  ) {}

  next(): RandomKey {
    return { seedLow: this.seedLow, seedHigh: this.seedHigh, stream: this.given++ >>> 0 };
  }

  save(): number {
    return this.given;
  }

  restore(given: number): void {
    this.given = given;
  }
}
