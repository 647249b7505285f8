/** What a source of native code is made of, so that it is compiled again when any of it changed. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Content, by path, of a source and of every header that it includes by a quoted path, as far as they lie in the checkout.
 *
 * @param source path
 * @param includes folders that are searched after the including file's own
 */
export function closure(source, includes, seen = new Map()) {
  if (seen.has(source)) return seen;
  const text = readFileSync(source, 'utf8');
  seen.set(source, text);
  for (const [, name] of text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    for (const folder of [dirname(source), ...includes]) {
      const path = join(folder, name);
      if (!existsSync(path)) continue;
      closure(path, includes, seen);
      break;
    }
  }
  return seen;
}
