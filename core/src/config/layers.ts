import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { parse } from 'yaml';
import { didYouMean } from '../kernel/nearest.js';
import { configErrors } from './errors.js';
import { type ConfigPath, formatPath, isRecord, parsePath, withValueAt } from './path.js';
import { type ConfigLayer, readConfigFile } from './source.js';

const ENVIRONMENT_PREFIX = 'LARGEFORGE__';

/** A file and those that it extends, the most basic first. */
export async function fileLayers(file: string, chain: readonly string[] = []): Promise<ConfigLayer[]> {
  const layer = await readConfigFile(file);
  if (!isRecord(layer.value)) {
    const found = Array.isArray(layer.value) ? 'a list' : `the ${typeof layer.value} ${JSON.stringify(layer.value)}`;
    throw configErrors.CONFIG_INVALID({
      problems: [{ where: layer.locate([]), path: '(top level)', text: `expected a map of settings, found ${found}` }],
    });
  }
  const { extends: bases, ...value } = layer.value;
  const own: ConfigLayer = { ...layer, value };
  if (bases === undefined) return [own];
  const where = layer.locate(['extends']);
  const list = [bases].flat();
  const layers: ConfigLayer[] = [];
  for (const base of list) {
    if (typeof base !== 'string')
      throw configErrors.CONFIG_EXTENDS({
        where,
        reason: `expected a path or a list of paths, found ${JSON.stringify(base)}`,
      });
    const path = isAbsolute(base) ? base : resolve(dirname(file), base);
    if (!existsSync(path)) throw configErrors.CONFIG_EXTENDS({ where, reason: `there is no file ${base}` });
    if (path === file || chain.includes(path)) {
      throw configErrors.CONFIG_EXTENDS({
        where,
        reason: `${[...chain, file, path].join(' -> ')} go round in a circle`,
      });
    }
    layers.push(...(await fileLayers(path, [...chain, file])));
  }
  return [...layers, own];
}

/** The layers that a profile adds: of every file that has it, in the files' order. */
export function profileLayers(layers: readonly ConfigLayer[], profile: string): ConfigLayer[] {
  const known = new Set<string>();
  const found: ConfigLayer[] = [];
  for (const layer of layers) {
    const profiles = isRecord(layer.value) ? layer.value.profiles : undefined;
    if (!isRecord(profiles)) continue;
    for (const name of Object.keys(profiles)) known.add(name);
    if (!isRecord(profiles[profile])) continue;
    found.push({
      name: `profile ${profile}`,
      value: profiles[profile],
      locate: (path) => layer.locate(['profiles', profile, ...path]),
    });
  }
  if (found.length === 0) {
    throw configErrors.CONFIG_PROFILE({ profile, known: [...known], hint: didYouMean(profile, known) });
  }
  return found;
}

/** LARGEFORGE__log__level=debug is log.level: "debug"; numbers and booleans are read as YAML reads them. */
export function environmentLayers(env: NodeJS.ProcessEnv): ConfigLayer[] {
  return Object.entries(env)
    .filter(([name, value]) => name.startsWith(ENVIRONMENT_PREFIX) && value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => {
      const path = name
        .slice(ENVIRONMENT_PREFIX.length)
        .split('__')
        .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
      return overrideLayer(name, path, value!);
    });
}

/** `--set a.b=c`. */
export function setLayers(overrides: readonly string[]): ConfigLayer[] {
  return overrides.map((override) => {
    const equals = override.indexOf('=');
    if (equals < 1)
      throw configErrors.CONFIG_OVERRIDE({ override: `--set ${override}`, reason: 'there is no "path=value"' });
    return overrideLayer(
      `--set ${override.slice(0, equals)}`,
      parsePath(override.slice(0, equals)),
      override.slice(equals + 1),
    );
  });
}

interface OverrideLayer extends ConfigLayer {
  /** An override sets this one place, also within a list; a file's list replaces the list below it. */
  readonly overrides: ConfigPath;
}

function overrideLayer(name: string, path: ConfigPath, text: string): OverrideLayer {
  let value: unknown;
  try {
    value = parse(text);
  } catch {
    value = text;
  }
  return { name, value, overrides: path, locate: () => name };
}

export interface Merged {
  readonly value: Record<string, unknown>;
  /** Where each leaf came from: formatted path -> layer. */
  readonly sources: ReadonlyMap<string, ConfigLayer>;
}

/** Later layers win. Maps are merged, everything else is replaced. */
export function mergeLayers(layers: readonly ConfigLayer[]): Merged {
  let merged: unknown = {};
  const sources = new Map<string, ConfigLayer>();
  const forget = (path: ConfigPath) => {
    const prefix = formatPath(path);
    for (const key of sources.keys())
      if (key === prefix || key.startsWith(`${prefix}.`) || key.startsWith(`${prefix}[`)) sources.delete(key);
  };
  const remember = (value: unknown, path: ConfigPath, layer: ConfigLayer) => {
    if (isRecord(value)) for (const [key, child] of Object.entries(value)) remember(child, [...path, key], layer);
    else if (Array.isArray(value)) for (const [i, child] of value.entries()) remember(child, [...path, i], layer);
    sources.set(formatPath(path), layer);
  };
  const merge = (below: unknown, above: unknown, path: ConfigPath, layer: ConfigLayer): unknown => {
    if (isRecord(below) && isRecord(above)) {
      const result = { ...below };
      for (const [key, value] of Object.entries(above)) result[key] = merge(below[key], value, [...path, key], layer);
      sources.set(formatPath(path), layer);
      return result;
    }
    forget(path);
    remember(above, path, layer);
    return above;
  };
  for (const layer of layers) {
    const { overrides } = layer as Partial<OverrideLayer>;
    if (overrides) {
      forget(overrides);
      merged = withValueAt(merged, overrides, layer.value);
      remember(layer.value, overrides, layer);
    } else {
      merged = merge(merged, layer.value, [], layer);
    }
  }
  return { value: merged as Record<string, unknown>, sources };
}

/** Replaces ${env:NAME}, ${env:NAME:-default} and ${file:path}; ${steps...} is left for the pipeline. */
export function interpolate(
  merged: Merged,
  baseDir: string,
  env: NodeJS.ProcessEnv,
): { value: Record<string, unknown>; secrets: Set<string> } {
  const secrets = new Set<string>();
  const resolveOne = (reference: string, path: ConfigPath): string => {
    const [, kind, body] = reference.match(/^\$\{(env|file):([\s\S]*)\}$/)!;
    const fail = (reason: string): never => {
      const place = formatPath(path);
      throw configErrors.CONFIG_REFERENCE({
        where: merged.sources.get(place)?.locate(path),
        path: place,
        reference,
        reason,
      });
    };
    if (kind === 'env') {
      const [, name, fallback] = body!.match(/^([^:]*)(?::-([\s\S]*))?$/) ?? [];
      return env[name!] ?? fallback ?? fail(`the environment has no ${name}`);
    }
    const file = isAbsolute(body!) ? body! : resolve(baseDir, body!);
    try {
      return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      return fail(
        (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message,
      );
    }
  };
  const walk = (value: unknown, path: ConfigPath): unknown => {
    if (typeof value === 'string') {
      const replaced = value.replace(/\$\{(?:env|file):[^}]*\}/g, (reference) => {
        const text = resolveOne(reference, path);
        secrets.add(text);
        return text;
      });
      return replaced;
    }
    if (Array.isArray(value)) return value.map((child, i) => walk(child, [...path, i]));
    if (isRecord(value))
      return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, walk(child, [...path, key])]));
    return value;
  };
  return { value: walk(merged.value, []) as Record<string, unknown>, secrets };
}
