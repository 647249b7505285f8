/** A place in a config: keys and list positions. */
export type ConfigPath = readonly (string | number)[];

/** `plugins[1].port`; a key that is no plain word is quoted. */
export function formatPath(path: ConfigPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[\w$@/-]+$/.test(part)) text += text ? `.${part}` : part;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text || '(top level)';
}

/** The inverse of formatPath: `a.b[0].c`, `a["b.c"]`. Undefined when it cannot be read. */
export function parsePath(text: string): (string | number)[] | undefined {
  const path: (string | number)[] = [];
  const part = /(?:^|\.)([^.[\]"=]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/y;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (!match) return undefined;
    const [, key, index, quoted] = match;
    path.push(key ?? (index === undefined ? (JSON.parse(quoted!) as string) : Number(index)));
  }
  return path.length > 0 ? path : undefined;
}

/** The value at a path, or undefined. */
export function valueAt(root: unknown, path: ConfigPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}
