import { commands, type Device, scope, Tensor } from '@largeforge/engine';
import { combine } from '../arithmetic/task-vectors.js';
import { type LowRank, truncatedSvd } from '../arithmetic/truncated-svd.js';
import { type AdapterMethod, arithmeticOf, type CombineOptions, worksOnProducts } from './methods.js';

/** The branch of one layer in one adapter: the layer's output gains scale * B A x. */
export interface Branch {
  readonly rank: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly scale: number;
  /** [rank, inFeatures] */
  readonly a: Float32Array;
  /** [outFeatures, rank] */
  readonly b: Float32Array;
}

/**
 * One branch of several, with scale 1, as PEFT's `add_weighted_adapter` makes it. Methods on A and B apart need one rank;
 * `cat` adds ranks up and is exact, and those with svd form the products.
 * @param weights of the branches that are given
 * @param layer number of the layer, for the draws of DARE
 */
export async function combineBranches(
  device: Device,
  branches: readonly Branch[],
  weights: readonly number[],
  options: CombineOptions,
  layer: number,
): Promise<LowRank & { readonly rank: number }> {
  const { method } = options;
  if (method === 'cat') return concatenated(branches, weights);
  if (worksOnProducts(method)) {
    const { outFeatures: n, inFeatures: k } = branches[0]!;
    const rank = options.rank ?? Math.max(...branches.map((branch) => branch.rank));
    const deltas: Float32Array[] = [];
    for (const branch of branches) deltas.push(await productOf(device, branch));
    const merged = combine(deltas, arithmeticOf(options, weights), layer);
    return { rank, ...(await truncatedSvd(device, merged, [n, k], rank)) };
  }
  // The weight goes half to A and half to B, its sign to A.
  const ofA = branches.map(({ scale }, i) => {
    const weight = weights[i]! * scale;
    return Math.fround(Math.sqrt(Math.abs(weight)) * (weight >= 0 ? 1 : -1));
  });
  const ofB = ofA.map(Math.abs);
  const copies = (side: 'a' | 'b') => branches.map((branch) => branch[side].slice());
  return {
    rank: branches[0]!.rank,
    a: combine(copies('a'), arithmeticOf(options, ofA), 2 * layer),
    b: combine(copies('b'), arithmeticOf(options, ofB), 2 * layer + 1),
  };
}

/** Whether a method needs adapters of one rank. */
export const needsOneRank = (method: AdapterMethod): boolean => method !== 'cat' && !worksOnProducts(method);

/** All ranks one after the other: exact, and as large as all together. */
function concatenated(branches: readonly Branch[], weights: readonly number[]): LowRank & { rank: number } {
  const rank = branches.reduce((sum, branch) => sum + branch.rank, 0);
  const { inFeatures, outFeatures } = branches[0]!;
  const a = new Float32Array(rank * inFeatures);
  const b = new Float32Array(outFeatures * rank);
  let at = 0;
  branches.forEach((branch, i) => {
    const factor = weights[i]! * branch.scale;
    a.set(
      branch.a.map((value) => value * factor),
      at * inFeatures,
    );
    for (let row = 0; row < outFeatures; row++) {
      b.set(branch.b.subarray(row * branch.rank, (row + 1) * branch.rank), row * rank + at);
    }
    at += branch.rank;
  });
  return { rank, a, b };
}

/** scale * B A, [outFeatures, inFeatures]. */
async function productOf(device: Device, branch: Branch): Promise<Float32Array> {
  const { rank, inFeatures, outFeatures, scale } = branch;
  using product = scope(() => {
    const a = Tensor.from(device, branch.b, [outFeatures, rank]);
    const b = Tensor.from(device, branch.a, [rank, inFeatures]);
    const c = Tensor.empty(device, [outFeatures, inFeatures]);
    commands.matmul(device.recorder, { alpha: scale, math: 'f32' }, { a, b, c });
    return c;
  });
  return await product.floats();
}
