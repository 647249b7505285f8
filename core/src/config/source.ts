import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { createJiti } from 'jiti';
import { isNode, LineCounter, parseDocument } from 'yaml';
import { configErrors } from './errors.js';
import type { ConfigPath } from './path.js';

/** One origin of config values: a file, a profile of it, the environment, the command line, or what is built in. */
export interface ConfigLayer {
  /** "largeforge.config.yaml", "profile small", "LARGEFORGE__log__level", "--set log.level". */
  readonly name: string;
  readonly value: unknown;
  /** "file:line:column" of the value at a path, or the layer's name. */
  locate(path: ConfigPath): string;
}

/** Reads one config file, by its extension. */
export async function readConfigFile(file: string): Promise<ConfigLayer> {
  if (['.ts', '.mts', '.mjs', '.js', '.cjs'].includes(extname(file))) return readModule(file);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw configErrors.CONFIG_NOT_FOUND({ path: file });
    throw configErrors.CONFIG_READ({ path: file, reason: (error as Error).message }, { cause: error });
  }
  return parseConfigText(text, file);
}

/** Parses YAML (of which JSON is a part), keeping the place of every value. */
export function parseConfigText(text: string, file: string): ConfigLayer {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const error = document.errors[0];
  if (error) throw configErrors.CONFIG_SYNTAX({ where: place(error.pos[0]), reason: error.message.split('\n')[0]! });
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw configErrors.CONFIG_SYNTAX({ where: `${file}:1:1`, reason: (cause as Error).message }, { cause });
  }
  return {
    name: file,
    value: value ?? {},
    locate(path) {
      for (let length = path.length; length >= 0; length--) {
        const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
        if (isNode(node) && node.range) return place(node.range[0]);
      }
      return file;
    },
  };
}

async function readModule(file: string): Promise<ConfigLayer> {
  try {
    const value = await createJiti(import.meta.url, { moduleCache: false }).import(file, { default: true });
    return { name: file, value, locate: () => file };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw configErrors.CONFIG_NOT_FOUND({ path: file }, { cause: error });
    throw configErrors.CONFIG_READ({ path: file, reason: (error as Error).message }, { cause: error });
  }
}
