import { didYouMean } from '../kernel/nearest.js';
import { configErrors } from './errors.js';
import { type ConfigPath, formatPath } from './path.js';
import { formatSource } from './source.js';
import { type ConfigNode, fromValue, type ListNode, type MapNode } from './tree.js';

/** Lists of the config whose entries have names: a map laid over one changes entries by name. */
const namedLists: Readonly<Record<string, NamedList>> = {
  pipeline: {
    nameOf: (entry) => (entry.kind === 'map' ? stringOf(entry.entries.get('name')) : undefined),
    open: (entry) => entry,
    inner: [],
  },
  plugins: {
    nameOf: (entry) => stringOf(entry.kind === 'list' ? entry.items[0] : entry),
    // [name, options]: what is laid over an entry changes the options.
    open: (entry) => {
      const [name = entry, options = fromValue({}, entry.source)] = entry.kind === 'list' ? entry.items : [entry];
      return { kind: 'list', source: entry.source, items: [name, options] };
    },
    inner: ['1'],
  },
};

interface NamedList {
  nameOf(entry: ConfigNode): string | undefined;
  /** The entry in the form that can be changed. */
  open(entry: ConfigNode): ConfigNode;
  /** Where in it a change by name goes. */
  readonly inner: readonly string[];
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
  if (!below || above.kind !== 'map') return withLists(above);
  if (below.kind === 'list') return changeList(below, above, cwd, path);
  if (below.kind === 'value') return withLists(above);
  const entries = new Map(below.entries);
  for (const [key, child] of above.entries) {
    const merged = mergeNodes(entries.get(key), child, cwd, [...path, key]);
    entries.set(key, { ...merged, keySource: child.keySource });
  }
  return { ...below, entries };
}

/** Overrides know positions only as keys: where nothing lies below, `a[0]=x` makes a list. */
function withLists(node: ConfigNode): ConfigNode {
  if (node.kind !== 'map' || !['environment', 'command line'].includes(node.source.layer)) return node;
  const entries = [...node.entries].map(([key, child]) => [key, withLists(child)] as const);
  const [first] = entries;
  if (entries.length === 1 && first?.[0] === '0') return { ...node, kind: 'list', items: [first[1]] };
  return { ...node, entries: new Map(entries) };
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
    const names = items.map((item) => named?.nameOf(item));
    const position = isPosition(key) ? Number(key) : names.indexOf(key);
    if (position > items.length) throw fail(`the list has ${items.length} entries`);
    if (!isPosition(key) && !named) throw fail('this is a list: say which entry by its position');
    if (position < 0) {
      const known = names.filter((name) => name !== undefined);
      throw fail(`the list has no entry of this name.${didYouMean(key, known)} It has: ${known.join(', ') || 'none'}`);
    }
    const entry = items[position];
    const inside = change.kind === 'map' && entry && named;
    const direct = change.kind === 'map' && [...change.entries.keys()].every(isPosition);
    items[position] = mergeNodes(
      inside ? named.open(entry) : entry,
      inside && !direct ? within(change, named.inner) : change,
      cwd,
      [...path, position],
    );
  }
  return { ...below, items };
}

const isPosition = (key: string) => /^\d+$/.test(key);

/** A tree with nothing but one node at a path. */
function within(node: ConfigNode, path: readonly string[]): ConfigNode {
  const { source, keySource } = node;
  return path.reduceRight<ConfigNode>(
    (child, key) => ({ kind: 'map', source, keySource, entries: new Map([[key, child]]) }),
    node,
  );
}
