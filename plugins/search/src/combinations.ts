import { PhiloxStream, permutation, streamOf } from '@largeforge/engine';
import type { Parameter, SearchOptions } from './options.js';

/** Values of the searched options, by path. */
export type Combination = Readonly<Record<string, unknown>>;

type Parameters = Readonly<Record<string, Parameter>>;

/** Combinations of a search, in the order in which they are tried. */
export function combinationsOf({ method, parameters, trials, seed }: SearchOptions): Combination[] {
  return method === 'grid' ? grid(parameters) : draw(parameters, trials, seed);
}

/** Every combination, in the order of scikit-learn's ParameterGrid: names sorted, the last one varies fastest. */
export function grid(parameters: Parameters): Combination[] {
  const count = gridSize(parameters);
  return Array.from({ length: count }, (_, index) => gridPoint(parameters, index));
}

/**
 * Some combinations, drawn from a seed. As scikit-learn's ParameterSampler does it, combinations of lists alone are drawn
 * without repetition (all of them when there are no more); a range makes every draw independent.
 */
export function draw(parameters: Parameters, count: number, seed: number): Combination[] {
  if (Object.values(parameters).every(Array.isArray)) {
    const all = gridSize(parameters);
    const order = permutation(all, seed, streamOf('shuffle'));
    return Array.from(order.subarray(0, Math.min(count, all)), (index) => gridPoint(parameters, index));
  }
  const random = new PhiloxStream(seed, streamOf('shuffle'));
  const names = Object.keys(parameters).sort();
  return Array.from({ length: count }, () =>
    Object.fromEntries(names.map((name) => [name, valueAt(parameters[name] as Parameter, random.uint32() / 2 ** 32)])),
  );
}

function gridSize(parameters: Parameters): number {
  return Object.values(parameters).reduce((product, values) => product * (values as readonly unknown[]).length, 1);
}

function gridPoint(parameters: Parameters, index: number): Combination {
  const names = Object.keys(parameters).sort();
  const chosen: [string, unknown][] = [];
  let rest = index;
  for (const name of names.toReversed()) {
    const values = parameters[name] as readonly unknown[];
    chosen.unshift([name, values[rest % values.length]]);
    rest = Math.floor(rest / values.length);
  }
  return Object.fromEntries(chosen);
}

/** The value at a place from 0 (included) to 1 (not included) of what a parameter may be. */
function valueAt(parameter: Parameter, place: number): unknown {
  if (Array.isArray(parameter)) return parameter[Math.floor(place * parameter.length)];
  const { min, max, scale, integer } = parameter;
  // Each whole number has the same room, the last one too.
  const [from, to] = integer ? [min, max + 1] : [min, max];
  const value = scale === 'log' ? from * (to / from) ** place : from + place * (to - from);
  return integer ? Math.min(max, Math.floor(value)) : value;
}
