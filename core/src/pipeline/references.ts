import { type ConfigPath, formatPath, isRecord } from '../config/path.js';
import { didYouMean } from '../kernel/nearest.js';
import { pipelineErrors } from './errors.js';

const REFERENCE = /\$\{steps\.([^.}]+)\.([^}]+)\}/g;

interface Place {
  readonly path: ConfigPath;
  locate(path: ConfigPath): string | undefined;
}

/** Calls `replace` for every reference in a tree and returns the tree with the answers in their places. */
function walk(
  value: unknown,
  path: ConfigPath,
  replace: (step: string, key: string, text: string, path: ConfigPath) => unknown,
): unknown {
  if (typeof value === 'string') {
    const whole = value.match(/^\$\{steps\.([^.}]+)\.([^}]+)\}$/);
    // A value that is one reference keeps the output's type.
    if (whole) return replace(whole[1]!, whole[2]!, value, path);
    return value.replace(REFERENCE, (text, step: string, key: string) => String(replace(step, key, text, path)));
  }
  if (Array.isArray(value)) return value.map((child, i) => walk(child, [...path, i], replace));
  if (isRecord(value))
    return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, walk(child, [...path, key], replace)]));
  return value;
}

/** The steps that a tree refers to; refuses those that are unknown or do not come earlier. */
export function checkReferences(
  value: unknown,
  earlier: readonly string[],
  all: readonly string[],
  place: Place,
): Set<string> {
  const used = new Set<string>();
  walk(value, place.path, (step, _key, reference, path) => {
    if (earlier.includes(step)) return (used.add(step), reference);
    const reason = all.includes(step)
      ? `step "${step}" does not run before this one`
      : `there is no step "${step}".${didYouMean(step, earlier)}`;
    throw pipelineErrors.PIPELINE_REFERENCE({ where: place.locate(path), path: formatPath(path), reference, reason });
  });
  return used;
}

/** The tree with every reference replaced by the output that it names. */
export function resolveReferences(
  value: unknown,
  outputs: ReadonlyMap<string, Record<string, unknown>>,
  place: Place,
): unknown {
  return walk(value, place.path, (step, key, reference, path) => {
    const found = outputs.get(step) ?? {};
    if (key in found) return found[key];
    throw pipelineErrors.PIPELINE_REFERENCE({
      where: place.locate(path),
      path: formatPath(path),
      reference,
      reason: `step "${step}" has no output "${key}".${didYouMean(key, Object.keys(found))} It has: ${Object.keys(found).join(', ') || 'none'}.`,
    });
  });
}

/** The tree with references replaced by a stand-in, so that a schema can check the rest before anything has run. */
export function withStandIns(value: unknown): { value: unknown; paths: string[] } {
  const paths: string[] = [];
  const replaced = walk(value, [], (_step, _key, text, path) => {
    paths.push(path.join('\u0000'));
    return text;
  });
  return { value: replaced, paths };
}
