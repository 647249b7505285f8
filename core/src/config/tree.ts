import type { ConfigPath } from './path.js';
import type { Source } from './source.js';

interface NodeBase {
  readonly source: Source;
  /** Where its key stands, when it is a value of a map. */
  readonly keySource?: Source;
}

export interface MapNode extends NodeBase {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, ConfigNode>;
}

export interface ListNode extends NodeBase {
  readonly kind: 'list';
  readonly items: readonly ConfigNode[];
}

export interface ValueNode extends NodeBase {
  readonly kind: 'value';
  value: unknown;
  /** Another reading of the same text: what comes from the environment or a flag is text, `8000` may mean a number. */
  alternative?: unknown;
  secret?: boolean;
}

/** A config in which every value knows where it comes from. */
export type ConfigNode = MapNode | ListNode | ValueNode;

export function toValue(node: ConfigNode): unknown {
  if (node.kind === 'value') return node.value;
  if (node.kind === 'list') return node.items.map(toValue);
  return Object.fromEntries([...node.entries].map(([key, child]) => [key, toValue(child)]));
}

/** A tree of plain values that share one source; a class instance or a thing with functions (a plugin) is one value. */
export function fromValue(value: unknown, source: Source): ConfigNode {
  if (Array.isArray(value)) return { kind: 'list', source, items: value.map((item) => fromValue(item, source)) };
  if (typeof value !== 'object' || value === null || !isPlain(value)) return { kind: 'value', source, value };
  const entries = Object.entries(value).filter(([, child]) => child !== undefined);
  return { kind: 'map', source, entries: new Map(entries.map(([key, child]) => [key, fromValue(child, source)])) };
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype && Object.getPrototypeOf(prototype) !== null) return false;
  return !Object.values(value).some((child) => typeof child === 'function');
}

export function childOf(node: ConfigNode | undefined, key: string | number): ConfigNode | undefined {
  if (node?.kind === 'map') return node.entries.get(String(key));
  return node?.kind === 'list' ? node.items[Number(key)] : undefined;
}

export function nodeAt(root: ConfigNode, path: ConfigPath): ConfigNode | undefined {
  let node: ConfigNode | undefined = root;
  for (const part of path) node = childOf(node, part);
  return node;
}

/** The source of the value at a path, or of the nearest that holds it. */
export function nearestSource(root: ConfigNode, path: ConfigPath): Source {
  let node = root;
  for (const part of path) {
    const child = childOf(node, part);
    if (!child) break;
    node = child;
  }
  return node.source;
}

/** Calls `visit` for every value, depth first. */
export function eachValue(node: ConfigNode, visit: (node: ValueNode, path: ConfigPath) => void, path: ConfigPath = []) {
  if (node.kind === 'value') visit(node, path);
  else if (node.kind === 'list') for (const [i, item] of node.items.entries()) eachValue(item, visit, [...path, i]);
  else for (const [key, child] of node.entries) eachValue(child, visit, [...path, key]);
}

/** A copy in which every value is replaced. */
export function mapValues(
  node: ConfigNode,
  replace: (node: ValueNode, path: ConfigPath) => ConfigNode,
  path: ConfigPath = [],
): ConfigNode {
  if (node.kind === 'value') return replace(node, path);
  if (node.kind === 'list') {
    return { ...node, items: node.items.map((item, i) => mapValues(item, replace, [...path, i])) };
  }
  const entries = [...node.entries].map(([key, child]) => [key, mapValues(child, replace, [...path, key])] as const);
  return { ...node, entries: new Map(entries) };
}

/** A copy with the node at a path replaced, or taken away. */
export function withNodeAt(root: ConfigNode | undefined, path: ConfigPath, node: ConfigNode | undefined): ConfigNode {
  const [head, ...rest] = path;
  if (head === undefined) return node!;
  const child = rest.length > 0 ? withNodeAt(childOf(root, head), rest, node) : node;
  if (root?.kind === 'list') {
    const items = [...root.items];
    if (child) items[Number(head)] = child;
    else items.splice(Number(head), 1);
    return { ...root, items };
  }
  const entries = new Map(root?.kind === 'map' ? root.entries : []);
  if (child) entries.set(String(head), child);
  else entries.delete(String(head));
  return { kind: 'map', source: root?.source ?? node!.source, keySource: root?.keySource, entries };
}
