import { didYouMean } from '../kernel/nearest.js';
import { configErrors } from './errors.js';
import { type ConfigPath, formatPath } from './path.js';
import { formatSource } from './source.js';
import { type ConfigNode, fromValue, type ListNode, type MapNode } from './tree.js';

/** Lists of the config whose entries have names: a map laid over one changes entries by name. */
const namedLists: Readonly<Record<string, NamedList>> = {
  pipeline: {
    nameOf: (entry) => (entry.kind === 'map' ? stringOf(entry.entries.get('name')) : undefined),
    change: (entry, change) => [entry, change],
  },
  plugins: {
    nameOf: (entry) => stringOf(entry.kind === 'list' ? entry.items[0] : entry),
    // [name, options]: the change is of the options.
    change: (entry, change) => {
      const [name, options = fromValue({}, change.source)] = entry.kind === 'list' ? entry.items : [entry];
      const pair = (second: ConfigNode): ListNode => ({ kind: 'list', source: entry.source, items: [name!, second] });
      return [pair(options), pair(change)];
    },
  },
};

interface NamedList {
  nameOf(entry: ConfigNode): string | undefined;
  /** The entry and what is laid over it, brought into one shape. */
  change(entry: ConfigNode, change: ConfigNode): [ConfigNode, ConfigNode];
}

const stringOf = (node: ConfigNode | undefined) =>
  node?.kind === 'value' && typeof node.value === 'string' ? node.value : undefined;

/**
 * Lays one layer over another. Maps are merged; everything else is replaced, but that a map laid over a list changes the
 * entries at its positions (`0:`), or, in `pipeline` and `plugins`, those of its names.
 */
export function mergeNodes(
  below: ConfigNode | undefined,
  above: ConfigNode,
  cwd: string,
  path: ConfigPath = [],
): ConfigNode {
  if (!below || above.kind !== 'map') return above;
  if (below.kind === 'list') return changeList(below, above, cwd, path);
  if (below.kind === 'value') return above;
  const entries = new Map(below.entries);
  for (const [key, child] of above.entries) {
    const merged = mergeNodes(entries.get(key), child, cwd, [...path, key]);
    entries.set(key, { ...merged, keySource: child.keySource });
  }
  return { ...below, entries };
}

function changeList(below: ListNode, above: MapNode, cwd: string, path: ConfigPath): ConfigNode {
  const items = [...below.items];
  const named = path.length === 1 ? namedLists[path[0]!] : undefined;
  for (const [key, change] of above.entries) {
    const fail = (reason: string) =>
      configErrors.LF_CONFIG_OVERRIDE({
        where: formatSource(change.keySource ?? change.source, cwd),
        path: formatPath([...path, /^\d+$/.test(key) ? Number(key) : key]),
        reason,
      });
    if (/^\d+$/.test(key)) {
      const position = Number(key);
      if (position > items.length) throw fail(`the list has ${items.length} entries`);
      items[position] = mergeNodes(items[position], change, cwd, [...path, position]);
      continue;
    }
    if (!named) throw fail('this is a list: say which entry by its position');
    const names = items.map((item) => named.nameOf(item));
    const position = names.indexOf(key);
    if (position < 0) {
      const known = names.filter((name) => name !== undefined);
      throw fail(`the list has no entry of this name.${didYouMean(key, known)} It has: ${known.join(', ') || 'none'}`);
    }
    const [entry, overlay] = named.change(items[position]!, change);
    items[position] = overlayEntry(entry, overlay, cwd, [...path, position]);
  }
  return { ...below, items };
}

/** Pairs of a name and options are merged item by item; maps as everywhere. */
function overlayEntry(entry: ConfigNode, overlay: ConfigNode, cwd: string, path: ConfigPath): ConfigNode {
  if (entry.kind !== 'list' || overlay.kind !== 'list') return mergeNodes(entry, overlay, cwd, path);
  const items = entry.items.map((item, i) => mergeNodes(item, overlay.items[i]!, cwd, [...path, i]));
  return { ...entry, items };
}
