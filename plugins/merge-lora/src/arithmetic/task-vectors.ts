import { drawsFor, keepLargest, keepRandom, type Sparsification } from './sparsify.js';

/** How differences from a base ("task vectors", Ilharco et al. 2022) become one. */
export interface TaskArithmetic {
  readonly weights: readonly number[];
  /** Share of the values of each that is kept, where they are made sparse. */
  readonly densities: readonly number[];
  /** Largest values (TIES, Yadav et al. 2023), or values by chance (DARE, Yu et al. 2023); all unless given. */
  readonly sparsification?: Sparsification;
  /** What makes up for dropped values: 1 / density as in PEFT and the paper, the sum of magnitudes as in mergekit, or nothing. */
  readonly rescale: 'density' | 'l1' | 'none';
  /** Keeps values of the sign that most of the weight has (TIES); "count" and "sum" are how it is voted for. */
  readonly consensus?: 'sum' | 'count' | undefined;
  /**
   * Whether signs are voted for by weighted differences (mergekit) or by differences as they are (PEFT), and what the sum
   * is divided by: the weights or the number of those that agree.
   */
  readonly convention: 'peft' | 'mergekit';
  /** Divides by the weights (mergekit). TIES in PEFT always divides. */
  readonly normalize: boolean;
  readonly seed: number;
}

/**
 * The combination of differences of one tensor, in the place of the first. All of them are changed.
 * @param tensor number of the tensor, for the draws of DARE
 */
export function combine(deltas: readonly Float32Array[], options: TaskArithmetic, tensor: number): Float32Array {
  const { weights, densities, sparsification, rescale, consensus, convention, normalize } = options;
  deltas.forEach((delta, i) => {
    const density = densities[i]!;
    if (!sparsification || density >= 1) return;
    const before = rescale === 'l1' ? absoluteSum(delta) : 0;
    if (sparsification === 'random') keepRandom(delta, density, drawsFor(options.seed, tensor * deltas.length + i));
    else keepLargest(delta, keptOf(density, delta.length, convention));
    if (rescale === 'none') return;
    const after = rescale === 'l1' ? absoluteSum(delta) : 0;
    if (rescale === 'l1' && (before < 1e-7 || after < 1e-7)) return;
    const factor = rescale === 'l1' ? before / after : 1 / density;
    for (let at = 0; at < delta.length; at++) delta[at] = Math.fround(delta[at]! * factor);
  });
  // Each place is read in all of them before it is written.
  const [out] = deltas as [Float32Array];
  const wholeDivisor = weights.reduce((sum, weight) => sum + weight, 0);
  for (let at = 0; at < out.length; at++) {
    if (!consensus) {
      let sum = 0;
      for (let i = 0; i < deltas.length; i++) sum += deltas[i]![at]! * weights[i]!;
      out[at] = normalize && Math.abs(wholeDivisor) >= 1e-8 ? sum / wholeDivisor : sum;
      continue;
    }
    const positive = majority(deltas, weights, at, consensus, convention);
    let sum = 0;
    let divisor = 0;
    for (let i = 0; i < deltas.length; i++) {
      const weighted = Math.fround(deltas[i]![at]! * weights[i]!);
      const voted = convention === 'peft' ? deltas[i]![at]! : weighted;
      if (Math.sign(voted) !== positive) continue;
      sum += weighted;
      divisor += convention === 'peft' ? 1 : weights[i]!;
    }
    if (convention === 'peft') out[at] = sum / Math.max(divisor, 1);
    else out[at] = normalize && divisor !== 0 ? sum / divisor : sum;
  }
  return out;
}

/** The sign that most have at a place: 1, also when neither has, or -1. */
function majority(
  deltas: readonly Float32Array[],
  weights: readonly number[],
  at: number,
  consensus: 'sum' | 'count',
  convention: 'peft' | 'mergekit',
): 1 | -1 {
  let votes = 0;
  for (let i = 0; i < deltas.length; i++) {
    const value = convention === 'peft' ? deltas[i]![at]! : Math.fround(deltas[i]![at]! * weights[i]!);
    // Summed in f32, as others do: where votes are all but equal, rounding decides.
    votes = Math.fround(votes + (consensus === 'sum' ? value : Math.sign(value)));
  }
  return votes >= 0 ? 1 : -1;
}

/** mergekit keeps at least one value of each tensor, PEFT may keep none. */
function keptOf(density: number, length: number, convention: 'peft' | 'mergekit'): number {
  const count = Math.trunc(density * length);
  return convention === 'mergekit' && density > 0 ? Math.max(1, count) : count;
}

function absoluteSum(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += Math.abs(value);
  return sum;
}
