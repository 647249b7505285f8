import { homedir } from 'node:os';
import { resolve } from 'node:path';

/** A path that a user wrote, absolute: relative ones start from a folder, `~/` is the home folder as in a shell. */
export function resolveUserPath(base: string, path: string): string {
  return /^~([\\/]|$)/.test(path) ? resolve(homedir(), path.slice(2)) : resolve(base, path);
}
