/** Whole numbers in [0, n) from a linear congruential generator, so that a failing test fails again. */
export function seeded(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % n;
  };
}
