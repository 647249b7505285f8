import { slerp } from '../arithmetic/slerp.js';
import { combine, type TaskArithmetic } from '../arithmetic/task-vectors.js';

/** Ways to make one model of several, by the names that mergekit gives them. */
export const modelMethods = ['slerp', 'task_arithmetic', 'ties', 'dare_linear', 'dare_ties', 'linear'] as const;
export type ModelMethod = (typeof modelMethods)[number];

export interface ModelMergeOptions {
  readonly method: ModelMethod;
  readonly weights: readonly number[];
  readonly densities: readonly number[];
  readonly t: number;
  readonly normalize?: boolean | undefined;
  readonly rescale?: boolean | undefined;
  readonly lambda: number;
  readonly seed: number;
}

/**
 * One tensor of the merged model, in f32. The values of `models` are changed.
 * @param base the base model's, where the method takes differences; slerp goes from it to the one of `models`
 * @param tensor number of the tensor, for the draws of DARE
 */
export function mergeTensor(
  models: readonly Float32Array[],
  base: Float32Array | undefined,
  options: ModelMergeOptions,
  tensor: number,
): Float32Array {
  const { method, weights, t, normalize = true, lambda } = options;
  if (method === 'linear') return mean(models, weights, normalize);
  if (method === 'slerp') return slerp(base!, models[0]!, t);
  for (const values of models) for (let i = 0; i < values.length; i++) values[i]! -= base![i]!;
  const merged = combine(models, arithmeticOf(options), tensor);
  for (let i = 0; i < merged.length; i++) merged[i] = base![i]! + merged[i]! * lambda;
  return merged;
}

/** The mean with weights, or the sum, in the place of the first model. */
function mean(models: readonly Float32Array[], weights: readonly number[], normalize: boolean): Float32Array {
  const total = normalize ? weights.reduce((sum, weight) => sum + weight, 0) : 1;
  const [out] = models as [Float32Array];
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let m = 0; m < models.length; m++) sum += models[m]![i]! * weights[m]!;
    out[i] = sum / total;
  }
  return out;
}

/** mergekit's arithmetic of differences. */
function arithmeticOf({ method, weights, densities, normalize, rescale, seed }: ModelMergeOptions): TaskArithmetic {
  const dare = method.startsWith('dare');
  return {
    weights,
    densities,
    ...(method !== 'task_arithmetic' && { sparsification: dare ? 'random' : 'magnitude' }),
    rescale: (rescale ?? dare) ? 'l1' : 'none',
    consensus: method.endsWith('ties') ? 'sum' : undefined,
    convention: 'mergekit',
    normalize: normalize ?? method === 'ties',
    seed,
  };
}
