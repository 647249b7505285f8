/**
 * Python's `random.Random`: the generator MT19937 (Matsumoto and Nishimura 1998), seeded and used as CPython does, so that
 * worked examples are drawn as lm-evaluation-harness draws them.
 */
export class PythonRandom {
  private readonly state = new Uint32Array(624);
  private index = 624;

  /** @param seed a whole number from 0 to 2^32 - 1 */
  constructor(seed: number) {
    const { state } = this;
    state[0] = 19650218;
    for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, this.mixed(i - 1)) + i;
    // init_by_array with the single key that a small seed is.
    let i = 1;
    for (let k = 624; k > 0; k--) {
      state[i] = (state[i]! ^ Math.imul(this.mixed(i - 1), 1664525)) + seed;
      if (++i >= 624) {
        state[0] = state[623]!;
        i = 1;
      }
    }
    for (let k = 623; k > 0; k--) {
      state[i] = (state[i]! ^ Math.imul(this.mixed(i - 1), 1566083941)) - i;
      if (++i >= 624) {
        state[0] = state[623]!;
        i = 1;
      }
    }
    state[0] = 0x80000000;
  }

  /** `random.sample(population, count)` */
  sample<T>(population: readonly T[], count: number): T[] {
    const size = population.length;
    const small = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0);
    if (size <= small) {
      const pool = [...population];
      return Array.from({ length: count }, (_, i) => {
        const j = this.below(size - i);
        const chosen = pool[j]!;
        pool[j] = pool[size - i - 1]!;
        return chosen;
      });
    }
    const selected = new Set<number>();
    while (selected.size < count) selected.add(this.below(size));
    return Array.from(selected, (j) => population[j]!);
  }

  /** A whole number from 0 to limit - 1. */
  private below(limit: number): number {
    const bits = 32 - Math.clz32(limit);
    for (;;) {
      const value = this.next() >>> (32 - bits);
      if (value < limit) return value;
    }
  }

  private mixed(i: number): number {
    const before = this.state[i]!;
    return before ^ (before >>> 30);
  }

  private next(): number {
    const { state } = this;
    if (this.index >= 624) {
      for (let k = 0; k < 624; k++) {
        const y = (state[k]! & 0x80000000) | (state[(k + 1) % 624]! & 0x7fffffff);
        state[k] = state[(k + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.index = 0;
    }
    let y = state[this.index++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }
}
