import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';

/** A path that a user wrote, absolute: relative ones start from a folder, `~/` is the home folder as in a shell. */
export function resolveUserPath(base: string, path: string): string {
  return /^~([\\/]|$)/.test(path) ? resolve(homedir(), path.slice(2)) : resolve(base, path);
}

/**
 * What a user calls a model: an absolute path, unless nothing lies there and the text reads like a name (`gpt2`,
 * `org/name`, `org/name@revision`), which a cache of models may know: then the text as it is.
 */
export function pathOrName(resolvePath: (path: string) => string, text: string): string {
  const path = resolvePath(text);
  const isName = /^[\w-][\w.-]*(\/[\w-][\w.-]*)?(@[\w./-]+)?$/.test(text);
  return isName && !existsSync(path) ? text : path;
}
