import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { z } from 'zod';
import type { LoadedPlugin } from '../kernel/kernel.js';
import type { Logger } from '../kernel/plugin.js';
import type { ConfigChange } from '../lifecycle/contracts.js';
import { configErrors } from './errors.js';
import { type LoadedConfig, type LoadOptions, loadConfig } from './load.js';
import { type ConfigPath, formatPath, isRecord, valueAt } from './path.js';
import { problemsOf, unwrap, withKnownKeys } from './problems.js';
import { rootSchema } from './schema.js';

/** What a plugin sees of the config while it runs. */
export interface ConfigView {
  /** The value at a path such as `log.level`, as it holds now. */
  get(path: ConfigPath): unknown;
  /** Declares a value that may change while the program runs; `fn` gets the new value. */
  reloadable(path: ConfigPath, fn: (value: unknown) => void | Promise<void>): void;
  /** The folder that relative paths start from. */
  readonly baseDir: string;
}

/** Editors write a file in several strokes. */
const DEBOUNCE_MS = 200;

/**
 * Follows the config's files. A change of values that declare themselves reloadable takes effect; another is reported as
 * needing a restart; a config with an error is refused with the reason, and the running one stays.
 */
export class ConfigReloader {
  /** Called after the values' own listeners. */
  changed: (change: ConfigChange) => Promise<void> = async () => {};
  private readonly listeners: { path: ConfigPath; fn: (value: unknown) => void | Promise<void> }[] = [];
  private watchers: FSWatcher[] = [];
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private current: LoadedConfig,
    private readonly load: LoadOptions,
    private readonly plugins:
      | readonly LoadedPlugin<never>[]
      | readonly { plugin: { name: string; options: z.ZodType } }[],
    private readonly log: Logger,
  ) {}

  view(): ConfigView {
    return {
      get: (path) => valueAt(this.current.root, path) ?? valueAt(this.current.raw, path),
      reloadable: (path, fn) => this.onChange(path, fn),
      baseDir: this.current.baseDir,
    };
  }

  onChange(path: ConfigPath, fn: (value: unknown) => void | Promise<void>): void {
    this.listeners.push({ path, fn });
  }

  watch(): void {
    for (const file of this.current.files) {
      // The folder is watched: many editors replace the file instead of writing into it.
      this.watchers.push(
        watch(dirname(file), (_event, name) => {
          if (name !== null && name !== basename(file)) return;
          clearTimeout(this.timer);
          this.timer = setTimeout(() => {
            this.running = this.running.then(() => this.reload());
          }, DEBOUNCE_MS);
        }),
      );
    }
  }

  close(): void {
    clearTimeout(this.timer);
    for (const watcher of this.watchers) watcher.close();
    this.watchers = [];
  }

  /** Reads the config again and applies what changed. */
  async reload(): Promise<void> {
    let next: LoadedConfig;
    try {
      next = await loadConfig({ ...this.load, file: this.current.file });
      this.checkOptions(next);
    } catch (error) {
      this.log.error({ err: error }, `the config was not reloaded, the running one stays: ${(error as Error).message}`);
      return;
    }
    const paths = differences(this.current.root, next.root);
    if (paths.length === 0) return;
    const live = paths.filter((path) => this.isReloadable(path));
    const restart = paths.filter((path) => !live.includes(path));
    if (restart.length > 0) {
      this.log.warn(`these changes of the config need a restart: ${restart.map(formatPath).join(', ')}`);
    }
    if (live.length === 0) return;
    this.current = next;
    for (const { path, fn } of this.listeners) {
      if (!live.some((changed) => startsWith(changed, path) || startsWith(path, changed))) continue;
      try {
        await fn(valueAt(next.root, path));
      } catch (error) {
        this.log.error(
          { err: error },
          `${formatPath(path)}: the new value could not be applied: ${(error as Error).message}`,
        );
      }
    }
    const names = live.map(formatPath);
    this.log.info(`reloaded ${names.join(', ')}`);
    await this.changed({ paths: names, config: next.raw });
  }

  private checkOptions(next: LoadedConfig): void {
    for (const [i, entry] of next.root.plugins.entries()) {
      const [name, options] = typeof entry === 'string' ? [entry, {}] : entry;
      const loaded = this.plugins[i]?.plugin;
      if (!loaded) continue;
      const parsed = loaded.options.safeParse(options);
      if (parsed.success) continue;
      throw configErrors.CONFIG_INVALID({
        problems: problemsOf(withKnownKeys(parsed.error.issues, loaded.options), {
          base: ['plugins', i, 1],
          label: `plugins[${i}] (${name})`,
          root: next.raw,
          locate: next.sourceOf,
        }),
      });
    }
  }

  private isReloadable(path: ConfigPath): boolean {
    if (this.listeners.some((listener) => startsWith(path, listener.path))) return true;
    if (path[0] === 'plugins' && path[2] === 1) {
      const loaded = this.plugins[path[1] as number]?.plugin;
      return loaded !== undefined && marked(loaded.options, path.slice(3));
    }
    return marked(rootSchema, path);
  }
}

const startsWith = (path: ConfigPath, prefix: ConfigPath) => prefix.every((part, i) => path[i] === part);

/** Whether the schema at the path, or one above it, says that it is reloadable. */
function marked(schema: z.ZodType, path: ConfigPath): boolean {
  if (schema.meta()?.reloadable === true) return true;
  const inner = unwrap(schema);
  if (inner.meta()?.reloadable === true) return true;
  if (path.length === 0) return false;
  const def = inner.def as { shape?: Record<string, z.ZodType>; element?: z.ZodType };
  const next = def.shape?.[path[0] as string] ?? def.element;
  return next !== undefined && marked(next, path.slice(1));
}

/** Paths at which two trees differ, as deep as both are maps or lists of equal length. */
function differences(a: unknown, b: unknown, path: ConfigPath = []): ConfigPath[] {
  if (isRecord(a) && isRecord(b)) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) =>
      differences(a[key], b[key], [...path, key]),
    );
  }
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length) {
    return a.flatMap((value, i) => differences(value, b[i], [...path, i]));
  }
  return JSON.stringify(a) === JSON.stringify(b) ? [] : [path];
}
