import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { configErrors } from './errors.js';
import { parsePath } from './path.js';
import { type ReadOptions, readConfigFile } from './read-file.js';
import { displayPath, formatSource, type Source } from './source.js';
import { type ConfigNode, fromValue, mapValues, toValue } from './tree.js';

const ENVIRONMENT_PREFIX = 'LARGEFORGE__';

/** A file and those that it extends, the most basic first. */
export async function fileLayers(
  file: string,
  options: ReadOptions,
  chain: readonly string[] = [],
): Promise<FileLayer[]> {
  const tree = await readConfigFile(file, options);
  if (tree.kind !== 'map') {
    const found = tree.kind === 'list' ? 'a list' : `the ${typeof tree.value} ${JSON.stringify(tree.value)}`;
    const problem = { where: formatSource(tree.source, options.cwd), path: '(top level)' };
    throw configErrors.LF_CONFIG_INVALID({
      problems: [{ ...problem, text: `expected a map of settings, found ${found}` }],
    });
  }
  const entries = new Map(tree.entries);
  const bases = entries.get('extends');
  entries.delete('extends');
  const layers: FileLayer[] = [];
  for (const base of bases?.kind === 'list' ? bases.items : bases ? [bases] : []) {
    const fail = (reason: string) =>
      configErrors.LF_CONFIG_EXTENDS({ where: formatSource(base.source, options.cwd), reason });
    const name = toValue(base);
    if (typeof name !== 'string') throw fail(`expected a path, found ${JSON.stringify(name)}`);
    const path = resolve(dirname(file), name);
    if (!existsSync(path))
      throw configErrors.LF_CONFIG_FILE_MISSING({
        path: name,
        where: `${formatSource(base.source, options.cwd)}: extends`,
        nearby: neighbours(path, name),
      });
    const circle = [...chain, file];
    if (circle.includes(path)) {
      const names = [...circle.slice(circle.indexOf(path)), path].map((each) => displayPath(each, options.cwd));
      throw fail(`these files extend each other in a circle: ${names.join(' -> ')}`);
    }
    layers.push(...(await fileLayers(path, options, circle)));
  }
  return [...layers, { file, tree: { ...tree, entries } }];
}

export interface FileLayer {
  readonly file: string;
  readonly tree: ConfigNode;
}

/** Names of the files beside a missing one, written as the missing one was. */
export function neighbours(path: string, written: string): string[] {
  const folder = dirname(path);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) return [];
  const prefix = written.slice(0, written.length - basename(path).length);
  return readdirSync(folder).map((name) => prefix + name);
}

/** The layers that a profile adds: of every layer that has it, in their order. */
export function profileLayers(layers: readonly ConfigNode[], profile: string): ConfigNode[] {
  const known = new Set<string>();
  const found: ConfigNode[] = [];
  for (const layer of layers) {
    const profiles = layer.kind === 'map' ? layer.entries.get('profiles') : undefined;
    if (profiles?.kind !== 'map') continue;
    for (const [name, node] of profiles.entries) {
      known.add(name);
      if (name === profile) found.push(inProfile(node, profile));
    }
  }
  if (found.length === 0) throw configErrors.LF_CONFIG_PROFILE({ profile, known: [...known] });
  return found;
}

function inProfile(node: ConfigNode, profile: string): ConfigNode {
  const mark = (source: Source): Source => ({ ...source, layer: 'profile', name: profile });
  const walk = (each: ConfigNode): ConfigNode => {
    const sources = { source: mark(each.source), ...(each.keySource && { keySource: mark(each.keySource) }) };
    if (each.kind === 'list') return { ...each, ...sources, items: each.items.map(walk) };
    if (each.kind === 'value') return { ...each, ...sources };
    return { ...each, ...sources, entries: new Map([...each.entries].map(([key, child]) => [key, walk(child)])) };
  };
  return walk(node);
}

/** `LARGEFORGE__log__level=debug` is log.level. */
export function environmentLayers(env: NodeJS.ProcessEnv): ConfigNode[] {
  return Object.entries(env)
    .filter(([name, value]) => name.startsWith(ENVIRONMENT_PREFIX) && value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => {
      const path = name.slice(ENVIRONMENT_PREFIX.length).split('__');
      if (path.includes('')) {
        throw configErrors.LF_CONFIG_SET({ flag: name, reason: 'a name is missing between two "__"' });
      }
      return override(path, value!, { layer: 'environment', name });
    });
}

/** `--set a.b=c`. */
export function setLayers(overrides: readonly string[]): ConfigNode[] {
  return overrides.map((text) => {
    const [, left, right] = /^((?:"(?:[^"\\]|\\.)*"|[^="])*)=([\s\S]*)$/.exec(text) ?? [];
    if (!left) throw configErrors.LF_CONFIG_SET({ flag: `--set ${text}`, reason: 'expected path=value' });
    const flag = `--set ${left}`;
    const path = parsePath(left);
    if (!path) throw configErrors.LF_CONFIG_SET({ flag, reason: `"${left}" is no path of keys and positions` });
    return override(path.map(String), right!, { layer: 'command line', name: flag });
  });
}

/** A tree with nothing but one value, which is read as YAML reads it, and as text where the schema wants text. */
function override(path: readonly string[], text: string, source: Source): ConfigNode {
  const document = parseDocument(text, { logLevel: 'silent' });
  const usable = document.errors.length === 0 && text.trim() !== '';
  const parsed = usable ? fromValue(document.toJS({ maxAliasCount: 0 }), source) : fromValue(text, source);
  const leaf = mapValues(parsed, (node) =>
    parsed === node && node.value !== text ? { ...node, alternative: text } : node,
  );
  let tree: ConfigNode = { ...leaf, keySource: source };
  for (const key of [...path].reverse()) {
    tree = { kind: 'map', source, keySource: source, entries: new Map([[key, tree]]) };
  }
  return tree;
}
