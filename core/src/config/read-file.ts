import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createJiti } from 'jiti';
import { type Document, isAlias, isCollection, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { reasonOf } from '../kernel/errors.js';
import { configErrors } from './errors.js';
import { displayPath, formatSource, type Source } from './source.js';
import { type ConfigNode, fromValue } from './tree.js';

/** What a config that is a function gets. */
export interface ConfigFunctionInput {
  readonly env: NodeJS.ProcessEnv;
  readonly profile?: string;
}

export interface ReadOptions extends ConfigFunctionInput {
  readonly cwd: string;
}

/** Aliases may repeat parts of a file; past this many values it is no config but a trap. */
const MAX_VALUES = 100_000;
/** No reader needs more nesting, and every walk of the tree is recursive. */
const MAX_DEPTH = 64;

/** Reads one config file, by its extension. */
export async function readConfigFile(file: string, options: ReadOptions): Promise<ConfigNode> {
  const path = displayPath(file, options.cwd);
  const extension = extname(file);
  if (['.ts', '.mts', '.cts', '.mjs', '.js', '.cjs'].includes(extension)) return readModule(file, path, options);
  if (!['.yaml', '.yml', '.json'].includes(extension)) {
    throw configErrors.LF_CONFIG_READ({
      path,
      reason: `the extension "${extension}" is none of .yaml .yml .json .ts .mjs`,
    });
  }
  let text: string;
  try {
    if (statSync(file).isDirectory()) throw new Error('it is a folder');
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (cause) {
    throw configErrors.LF_CONFIG_READ({ path, reason: readFailure(cause) }, { cause });
  }
  return parseConfigText(text, file, options.cwd);
}

function readFailure(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EACCES') return 'you may not read it';
  return code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'it is not UTF-8 text' : reasonOf(error);
}

/** Parses YAML, or JSON when the file is named so, keeping the place of every key and value. */
export function parseConfigText(text: string, file: string, cwd: string): ConfigNode {
  const lines = new LineCounter();
  const json = extname(file) === '.json';
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    schema: json ? 'json' : 'core',
  });
  const place = (offset: number): Source => {
    const { line, col } = lines.linePos(offset);
    return { layer: 'file', file, line, column: col };
  };
  const fail = (offset: number, reason: string) =>
    configErrors.LF_CONFIG_SYNTAX({
      where: formatSource(place(offset), cwd),
      reason,
      language: json ? 'JSON' : 'YAML',
    });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw fail(problem.pos[0], problem.message.split('\n')[0]!);
  if (document.contents === null) return { kind: 'map', source: place(0), entries: new Map() };
  return new DocumentReader(document, place, fail).read(document.contents, 0, 0);
}

/** Turns YAML nodes into config nodes; aliases are followed, within bounds. */
class DocumentReader {
  private values = 0;
  private readonly within = new Set<unknown>();

  constructor(
    private readonly document: Document,
    private readonly place: (offset: number) => Source,
    private readonly fail: (offset: number, reason: string) => Error,
  ) {}

  read(node: unknown, fallback: number, depth: number): ConfigNode {
    const offset = (node as { range?: readonly number[] } | null)?.range?.[0] ?? fallback;
    const source = this.place(offset);
    if (++this.values > MAX_VALUES) throw this.fail(offset, `more than ${MAX_VALUES} values`);
    if (depth > MAX_DEPTH) throw this.fail(offset, `nested deeper than ${MAX_DEPTH}`);
    if (isAlias(node)) {
      const target = node.resolve(this.document);
      if (!target) throw this.fail(offset, `there is no anchor &${node.source} before this alias`);
      if (this.within.has(target)) throw this.fail(offset, `the alias *${node.source} refers to itself`);
      return this.read(target, offset, depth + 1);
    }
    if (isScalar(node)) return { kind: 'value', source, value: node.value };
    if (!isCollection(node)) return { kind: 'value', source, value: null };
    this.within.add(node);
    try {
      if (isSeq(node)) {
        return { kind: 'list', source, items: node.items.map((item) => this.read(item, offset, depth + 1)) };
      }
      return { kind: 'map', source, entries: this.readEntries(node, offset, depth) };
    } finally {
      this.within.delete(node);
    }
  }

  private readEntries(node: unknown, offset: number, depth: number): Map<string, ConfigNode> {
    const entries = new Map<string, ConfigNode>();
    if (!isMap(node)) return entries;
    for (const { key, value } of node.items) {
      const at = (key as { range?: readonly number[] } | null)?.range?.[0] ?? offset;
      if (!isScalar(key)) throw this.fail(at, 'a key must be plain text');
      const name = String(key.value);
      const child = this.read(value, at, depth + 1);
      if (name === '<<') this.mergeInto(entries, child, node, at);
      else entries.set(name, { ...child, keySource: this.place(at) });
    }
    return entries;
  }

  /** YAML's merge key: the map's own keys win over merged ones, wherever they stand. */
  private mergeInto(entries: Map<string, ConfigNode>, merged: ConfigNode, node: unknown, at: number): void {
    const maps = merged.kind === 'list' ? merged.items : [merged];
    const own = new Set(isMap(node) ? node.items.map(({ key }) => String((key as { value?: unknown }).value)) : []);
    for (const map of maps) {
      if (map.kind !== 'map') throw this.fail(at, 'the merge key << takes a map, or a list of maps');
      for (const [key, child] of map.entries) if (!own.has(key) && !entries.has(key)) entries.set(key, child);
    }
  }
}

/** The default export of a module: an object, or a function that makes it. */
async function readModule(file: string, path: string, { env, profile }: ReadOptions): Promise<ConfigNode> {
  try {
    const exported = await importFresh(file);
    const value: unknown =
      typeof exported === 'function'
        ? await (exported as (input: ConfigFunctionInput) => unknown)({ env, profile })
        : exported;
    if (value === undefined) throw new Error(exported ? 'its function returns nothing' : 'it has no default export');
    return fromValue(value, { layer: 'file', file });
  } catch (cause) {
    const reason = reasonOf(cause).split('\n')[0]!.trim();
    throw configErrors.LF_CONFIG_READ({ path: path + lineIn(cause, file), reason }, { cause });
  }
}

/** `:line:column` of a module that an error names in its message or its stack, the first that it names; else nothing. */
function lineIn(error: unknown, file: string): string {
  if (!(error instanceof Error)) return '';
  const text = `${error.message}\n${error.stack ?? ''}`;
  const name = basename(file).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`${name}(?:\\?version=\\w+)?(:\\d+(?::\\d+)?)`).exec(text)?.[1] ?? '';
}

/** Imports a module as it is now: a reload must not get the one that was imported before. */
async function importFresh(file: string): Promise<unknown> {
  if (['.mjs', '.js'].includes(extname(file))) {
    const version = createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 16);
    return ((await import(`${pathToFileURL(file).href}?version=${version}`)) as { default?: unknown }).default;
  }
  return createJiti(file, { moduleCache: false, fsCache: false }).import(file, { default: true });
}
