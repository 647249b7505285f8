import type { ConfigPath } from './path.js';
import { type ConfigNode, childOf, fromValue, type ListNode, nodeAt, toValue } from './tree.js';

/** The tree with every plugin entry as [name, options], so that options compare however the entry is written. */
export function withPluginPairs(tree: ConfigNode): ConfigNode {
  const plugins = childOf(tree, 'plugins');
  if (tree.kind !== 'map' || plugins?.kind !== 'list') return tree;
  const pair = (entry: ConfigNode): ConfigNode => {
    const [name, options] = entry.kind === 'list' ? entry.items : [entry];
    return { kind: 'list', source: entry.source, items: [name!, options ?? fromValue({}, entry.source)] };
  };
  return { ...tree, entries: new Map([...tree.entries, ['plugins', { ...plugins, items: plugins.items.map(pair) }]]) };
}

/** Paths at which two configs differ, as deep as both have the same shape: lists of other entries differ as a whole. */
export function changedPaths(before: ConfigNode, after: ConfigNode, path: ConfigPath = []): ConfigPath[] {
  if (before.kind === 'map' && after.kind === 'map') {
    const keys = new Set([...before.entries.keys(), ...after.entries.keys()]);
    return [...keys].flatMap((key) => {
      const [a, b] = [before.entries.get(key), after.entries.get(key)];
      return a && b ? changedPaths(a, b, [...path, key]) : added(a ?? b!, [...path, key]);
    });
  }
  if (before.kind === 'list' && after.kind === 'list' && sameEntries(before, after, path)) {
    return before.items.flatMap((item, i) => changedPaths(item, after.items[i]!, [...path, i]));
  }
  return JSON.stringify(toValue(before)) === JSON.stringify(toValue(after)) ? [] : [path];
}

/** A map that is new or gone, by its values: one of them may be reloadable while the map as a whole is not. */
function added(node: ConfigNode, path: ConfigPath): ConfigPath[] {
  if (node.kind !== 'map' || node.entries.size === 0) return [path];
  return [...node.entries].flatMap(([key, child]) => added(child, [...path, key]));
}

function sameEntries(before: ListNode, after: ListNode, path: ConfigPath): boolean {
  if (before.items.length !== after.items.length) return false;
  const key = nameKeys[String(path[0])];
  if (path.length !== 1 || key === undefined) return true;
  return before.items.every((item, i) => nameOf(item, key) === nameOf(after.items[i], key));
}

/** What names the entries of a list: plugins are [name, options]. */
const nameKeys: Readonly<Record<string, string | number>> = { plugins: 0, pipeline: 'name' };

function nameOf(entry: ConfigNode | undefined, key: string | number): unknown {
  const node = childOf(entry, key);
  return node && toValue(node);
}

/** Whether the same plugin or step stands at a place of two configs. */
export function sameEntry(
  before: ConfigNode,
  after: ConfigNode,
  [list, i]: readonly [string | number, string | number],
) {
  const key = nameKeys[list]!;
  return nameOf(nodeAt(before, [list, i]), key) === nameOf(nodeAt(after, [list, i]), key);
}
