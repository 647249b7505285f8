import type { LoadedConfig } from '../config/load.js';
import { parseNode } from '../config/parse.js';
import { rootSchema } from '../config/schema.js';
import { type ConfigNode, fromValue, toValue } from '../config/tree.js';
import { isLargeForgeError, placeError } from '../kernel/errors.js';
import type { ConfigValues } from '../lifecycle/config-contract.js';

/** The config after plugins had their say (config.resolve): checked again; what they left as it was keeps its source. */
export function resolveConfig(config: LoadedConfig, values: ConfigValues): LoadedConfig {
  if (values === config.raw) return config;
  const tree = keepSources(config.tree, values);
  const { cwd, secrets } = config;
  try {
    const root = parseNode(rootSchema, tree, { label: '', cwd, secrets })!;
    return { ...config, tree, raw: toValue(tree) as Record<string, unknown>, root };
  } catch (error) {
    throw isLargeForgeError(error) ? placeError(error, 'a plugin that taps config.resolve made this') : error;
  }
}

function keepSources(node: ConfigNode | undefined, value: unknown): ConfigNode {
  const source = { layer: 'built-in' as const, name: 'a plugin (config.resolve)' };
  if (node && toValue(node) === value) return node;
  if (node?.kind === 'list' && Array.isArray(value)) {
    return { ...node, items: value.map((item, i) => keepSources(node.items[i], item)) };
  }
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (node?.kind === 'map' && isMap) {
    const entries = Object.entries(value).map(
      ([key, child]) => [key, keepSources(node.entries.get(key), child)] as const,
    );
    return { ...node, entries: new Map(entries) };
  }
  return { ...fromValue(value, source), keySource: node?.keySource } as ConfigNode;
}
