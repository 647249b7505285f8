import type { LoadedConfig } from './load.js';
import { type ConfigPath, formatPath } from './path.js';
import { MASK } from './secrets.js';
import { formatSource } from './source.js';
import { type ConfigNode, fromValue, nodeAt, type ValueNode } from './tree.js';

/** One value of the config, as it may be shown. */
export interface ConfigEntry {
  readonly path: string;
  /** As text, on one line; a secret is masked. */
  readonly value: string;
  /** `largeforge.config.yaml:3:5`, `--set log.level`, `default` ... */
  readonly source: string;
  readonly secret: boolean;
}

/** Every value with its source: what layers set, and the defaults that fill the rest. */
export function describeConfig(config: LoadedConfig): ConfigEntry[] {
  const entries: ConfigEntry[] = [];
  const add = (path: ConfigPath, value: string, source: string, secret = false) =>
    entries.push({ path: namePath(path, config), value: secret ? MASK : config.secrets.redact(value), source, secret });
  const visit = (node: ConfigNode, path: ConfigPath, layer: 'set' | 'default'): void => {
    const source = layer === 'default' ? 'default' : formatSource(node.source, config.cwd);
    if (node.kind === 'value') add(path, show(node), withProfile(source, node), node.secret === true);
    else if (node.kind === 'list' && node.items.length === 0) add(path, '[]', source);
    else if (node.kind === 'map' && node.entries.size === 0) {
      // A plugin without options is [name, {}] inside, however it is written.
      if (path[0] !== 'plugins' || path.length !== 3) add(path, '{}', source);
    } else if (node.kind === 'list') for (const [i, item] of node.items.entries()) visit(item, [...path, i], layer);
    else for (const [key, child] of node.entries) visit(child, [...path, key], layer);
  };
  visit(config.tree, [], 'set');
  const defaults = fromValue(config.root, { layer: 'built-in' });
  const missing = (whole: ConfigNode, set: ConfigNode | undefined, path: ConfigPath): void => {
    if (!set) visit(whole, path, 'default');
    else if (whole.kind === 'map' && set.kind === 'map') {
      for (const [key, child] of whole.entries) missing(child, set.entries.get(key), [...path, key]);
    }
  };
  missing(defaults, config.tree, []);
  return entries;
}

/** The path as errors name it: `plugins[1] (@largeforge/server-openai).port`. */
function namePath(path: ConfigPath, { tree }: LoadedConfig): string {
  const [list, i, part, ...rest] = path;
  if (list !== 'plugins' || i === undefined || part === undefined) return formatPath(path);
  const name = nodeAt(tree, ['plugins', i, 0]);
  if (part === 0 || name?.kind !== 'value') return `plugins[${i}]`;
  return `plugins[${i}] (${pluginName(name)})${rest.length > 0 ? `.${formatPath(rest)}` : ''}`;
}

function pluginName({ value }: ValueNode): string {
  return typeof value === 'string' ? value : ((value as { name?: string }).name ?? 'inline');
}

function withProfile(source: string, { source: { layer, name } }: ValueNode): string {
  return layer === 'profile' ? `${source} (profile ${name})` : source;
}

function show(node: ValueNode): string {
  const { value } = node;
  if (typeof value === 'string') return /^[\w./@:${}-]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return pluginName(node);
  return String(value);
}
