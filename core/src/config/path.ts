/** A place in a config: keys and list positions. */
export type ConfigPath = readonly (string | number)[];

/** `plugins[1].port`; a key that is no plain word is quoted. */
export function formatPath(path: ConfigPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[\w$@/-]+$/.test(part)) text += text ? `.${part}` : part;
    else text += `["${part}"]`;
  }
  return text || '(top level)';
}

/** The inverse of formatPath for what people type: `a.b[0].c`. */
export function parsePath(text: string): (string | number)[] {
  const path: (string | number)[] = [];
  for (const [, key, index] of text.matchAll(/([^.[\]]+)|\[(\d+)\]/g))
    path.push(index === undefined ? key! : Number(index));
  return path;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at a path, or undefined. */
export function valueAt(root: unknown, path: ConfigPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

/** A copy of the tree with the value at the path replaced; missing objects and lists on the way are made. */
export function withValueAt(root: unknown, path: ConfigPath, value: unknown): unknown {
  if (path.length === 0) return value;
  const [head, ...rest] = path as [string | number, ...(string | number)[]];
  if (typeof head === 'number') {
    const list = Array.isArray(root) ? [...root] : [];
    list[head] = withValueAt(list[head], rest, value);
    return list;
  }
  return { ...(isRecord(root) ? root : {}), [head]: withValueAt(isRecord(root) ? root[head] : undefined, rest, value) };
}
