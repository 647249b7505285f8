/** A rung of successive halving: so many trials train for so many steps. */
export interface Rung {
  readonly trials: number;
  readonly steps: number;
}

/**
 * The rungs of successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943) as scikit-learn's HalvingGridSearchCV
 * plans them: one of `eta` trials goes on, with `eta` times the steps, for as many rungs as `eta` goes into their number,
 * and as `maxSteps` allows.
 */
export function planRungs(
  trials: number,
  { eta, minSteps, maxSteps }: { readonly eta: number; readonly minSteps: number; readonly maxSteps: number },
): Rung[] {
  const rungs: Rung[] = [];
  let left = trials;
  for (let power = 1; power <= trials && minSteps * power <= maxSteps; power *= eta) {
    rungs.push({ trials: left, steps: minSteps * power });
    left = Math.ceil(left / eta);
  }
  return rungs;
}
