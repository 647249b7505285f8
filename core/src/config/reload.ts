import type { z } from 'zod';
import type { EventBus } from '../events/events.js';
import { isLargeForgeError, reasonOf } from '../kernel/errors.js';
import type { Logger } from '../kernel/plugin.js';
import type { ConfigChange } from '../lifecycle/config-contract.js';
import { changedPaths, sameEntry, withPluginPairs } from './changes.js';
import { type LoadedConfig, type LoadOptions, loadConfig } from './load.js';
import { parseNode } from './parse.js';
import { type ConfigPath, formatPath, parsePath, valueAt } from './path.js';
import { rootSchema } from './schema.js';
import { isMarked } from './schema-paths.js';
import { type ConfigNode, fromValue, nodeAt, toValue, withNodeAt } from './tree.js';
import { FileWatcher } from './watch.js';

/** A part of the config that somebody's schema checks: a plugin's options, or the `with` of a step that runs. */
export interface ConfigSlice {
  readonly path: ConfigPath;
  /** How errors call it. */
  readonly label: string;
  readonly schema: z.ZodType;
  /** The plugin whose options they are. */
  readonly plugin?: string;
  /** Makes values of references before the check. */
  readonly resolve?: (node: ConfigNode) => ConfigNode;
}

interface Listener {
  readonly slice: ConfigSlice;
  /** Within the slice. */
  readonly path: ConfigPath;
  readonly fn: (value: unknown) => void | Promise<void>;
}

export interface ReloaderOptions {
  readonly config: LoadedConfig;
  readonly load: LoadOptions;
  readonly log: Logger;
  readonly events: EventBus;
  /** Called after the values' own listeners. */
  readonly onChanged?: (change: ConfigChange) => Promise<void>;
}

const root: ConfigSlice = { path: [], label: '', schema: rootSchema };

/**
 * The config while the program runs. Values that declare themselves reloadable follow the files; a change of others is
 * said to need a restart; a config with an error is refused with the reason, and the running one stays.
 */
export class ConfigReloader {
  private running: LoadedConfig;
  private readonly slices = new Set<ConfigSlice>([root]);
  private readonly listeners = new Set<Listener>();
  private watcher: FileWatcher | undefined;
  private reloading: Promise<void> = Promise.resolve();
  private reported = '';

  constructor(private readonly options: ReloaderOptions) {
    this.running = { ...options.config, tree: withPluginPairs(options.config.tree) };
  }

  /** The config as it holds now. */
  get config(): LoadedConfig {
    return this.running;
  }

  /** Takes another config for the running one (what plugins made of it at boot). */
  replace(config: LoadedConfig): void {
    this.running = { ...config, tree: withPluginPairs(config.tree) };
  }

  /** Takes a part of the config into the checks of a reload. Returns what takes it out again. */
  addSlice(slice: ConfigSlice): () => void {
    this.slices.add(slice);
    return () => {
      this.slices.delete(slice);
      for (const listener of this.listeners) if (listener.slice === slice) this.listeners.delete(listener);
    };
  }

  /** Declares a value reloadable; `fn` gets the new one, parsed. */
  onChange(slice: ConfigSlice | undefined, path: ConfigPath, fn: Listener['fn']): void {
    this.listeners.add({ slice: slice ?? root, path, fn });
  }

  /** The value of a slice as it holds now, parsed. */
  valueOf(slice: ConfigSlice | undefined, path: ConfigPath): unknown {
    return valueAt(this.parse(slice ?? root, this.running), path);
  }

  /** The config for one plugin: a path that starts with a dot is of its own options. */
  viewOf(plugin: string): { get(path: string): unknown; reloadable(path: string, fn: Listener['fn']): void } {
    const locate = (path: string) => {
      const own = path.startsWith('.');
      const slice = own ? [...this.slices].find((each) => each.plugin === plugin) : root;
      return { slice, path: parsePath(own ? path.slice(1) : path) ?? [path] };
    };
    return {
      get: (path) => {
        const at = locate(path);
        return at.slice && this.valueOf(at.slice, at.path);
      },
      reloadable: (path, fn) => {
        const at = locate(path);
        if (at.slice) this.onChange(at.slice, at.path, fn);
      },
    };
  }

  /** Follows the files until close(). Nothing to follow without a file. */
  watch(): void {
    if (this.watcher || this.running.files.length === 0) return;
    this.watcher = new FileWatcher(this.running.files, () => void this.reload());
  }

  close(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }

  /** Reads the config again and applies what may change. Never rejects: what is wrong is logged and told as an event. */
  reload(): Promise<void> {
    this.reloading = this.reloading.then(async () => {
      try {
        await this.apply(await this.read());
      } catch (error) {
        this.reject(error);
      }
    });
    return this.reloading;
  }

  private async read(): Promise<LoadedConfig> {
    const { load, config } = this.options;
    const next = await loadConfig({ ...load, file: config.file, secrets: config.secrets });
    const normal = { ...next, tree: withPluginPairs(next.tree) };
    for (const slice of this.slices) {
      // Where another plugin or step stands now, its options are not this one's: the list needs a restart as a whole.
      const [list, i] = slice.path;
      if (i === undefined || sameEntry(this.running.tree, normal.tree, [list!, i])) this.parse(slice, normal);
    }
    return normal;
  }

  private parse({ path, label, schema, resolve }: ConfigSlice, { tree, cwd, secrets }: LoadedConfig): unknown {
    const node = nodeAt(tree, path) ?? fromValue({}, tree.source);
    return parseNode(schema, resolve ? resolve(node) : node, { label, cwd, secrets });
  }

  private async apply(next: LoadedConfig): Promise<void> {
    this.watcher?.follow(next.files);
    const paths = changedPaths(this.running.tree, next.tree);
    const live = paths.filter((path) => this.isReloadable(path));
    const restart = paths.filter((path) => !live.includes(path)).map(formatPath);
    const tree = live.reduce((at, path) => withNodeAt(at, path, nodeAt(next.tree, path)), this.running.tree);
    const raw = toValue(tree) as Record<string, unknown>;
    this.running = { ...this.running, tree, raw, root: this.parse(root, { ...next, tree }) as LoadedConfig['root'] };
    const changed = live.map(formatPath);
    const pending = restart.map((path) => `${path}=${next.sourceOf([])}`).join();
    const news = pending !== this.reported && restart.length > 0;
    this.reported = pending;
    if (live.length === 0 && !news) return;
    if (news) this.options.log.warn(`config: takes effect after a restart: ${restart.join(', ')}`);
    await this.tell(live);
    if (live.length > 0) this.options.log.info(`config: reloaded ${changed.join(', ')}`);
    this.options.events.emit({ type: 'config.changed', paths: changed, restart });
    if (live.length > 0) await this.options.onChanged?.({ paths: changed, restart, config: raw });
  }

  private async tell(live: readonly ConfigPath[]): Promise<void> {
    for (const { slice, path, fn } of this.listeners) {
      const full = [...slice.path, ...path];
      if (!live.some((changed) => startsWith(changed, full) || startsWith(full, changed))) continue;
      try {
        await fn(this.valueOf(slice, path));
      } catch (error) {
        const what = `${formatPath(full)}: the new value could not be applied: ${reasonOf(error)}`;
        this.options.log.error({ err: error }, `config: ${what}`);
      }
    }
  }

  private isReloadable(path: ConfigPath): boolean {
    const listens = ({ slice, path: inner }: Listener) => startsWith(path, [...slice.path, ...inner]);
    if ([...this.listeners].some(listens)) return true;
    return [...this.slices].some(
      (slice) => startsWith(path, slice.path) && isMarked(slice.schema, path.slice(slice.path.length), 'reloadable'),
    );
  }

  private reject(error: unknown): void {
    const { log, events, config } = this.options;
    const message = config.secrets.redact(reasonOf(error));
    log.error(`config: not reloaded, the running one stays: ${message}`);
    const { code, remedy } = isLargeForgeError(error) ? error : { code: undefined, remedy: undefined };
    events.emit({ type: 'config.rejected', error: { code, message, remedy } });
  }
}

const startsWith = (path: ConfigPath, prefix: ConfigPath) =>
  prefix.every((part, i) => String(path[i]) === String(part));
