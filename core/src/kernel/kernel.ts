import { Hook, type HookKind } from './hooks.js';
import { kernelErrors } from './kernel-errors.js';
import type { AnyPlugin, BaseContext, HookShape, Logger } from './plugin.js';
import { Registry } from './registry.js';
import { Services } from './services.js';
import type { Tracer } from './trace.js';
import { satisfies } from './version-range.js';

/** The lifecycle that a kernel is made for: its hooks, and the names of its registries. */
export interface Lifecycle {
  readonly hooks: Readonly<Record<string, Readonly<Record<string, HookKind>>>>;
  readonly registries: readonly string[];
}

/** A plugin with its parsed options, and where the config names it. */
export interface LoadedPlugin<Context> {
  readonly plugin: AnyPlugin<Context>;
  readonly options: unknown;
  readonly where: string;
}

export interface KernelOptions<Context> {
  readonly lifecycle: Lifecycle;
  readonly plugins: readonly LoadedPlugin<Context>[];
  readonly log: Logger;
  /** Ends the work of all plugins. */
  readonly signal?: AbortSignal;
  readonly tracer?: Tracer;
  /** What a context has besides what the kernel gives it. */
  readonly extend: (base: BaseContext<HookShape, Record<string, unknown>>) => Context;
  readonly setupSeconds?: number;
}

const SETUP_SECONDS = 30;

/**
 * Holds plugins together: hooks, registries, services, set-up and shutdown. It knows neither the lifecycle's stages nor
 * what they are for.
 */
export class Kernel<Context> {
  readonly services = new Services();
  readonly bootTimes: { plugin: string; milliseconds: number }[] = [];
  private readonly hookTable = new Map<string, Hook<never, unknown>>();
  private readonly registryTable = new Map<string, Registry<unknown>>();
  private readonly disposers: { plugin: string; fn: () => void | Promise<void> }[] = [];
  private readonly controller = new AbortController();
  private disposed: Promise<void> | undefined;

  private constructor(private readonly options: KernelOptions<Context>) {
    for (const [stage, hooks] of Object.entries(options.lifecycle.hooks)) {
      for (const [name, kind] of Object.entries(hooks)) {
        this.hookTable.set(`${stage}.${name}`, new Hook(`${stage}.${name}`, kind, options.tracer));
      }
    }
    for (const name of options.lifecycle.registries) this.registryTable.set(name, new Registry(name));
    const abort = () => this.controller.abort(options.signal!.reason);
    if (options.signal?.aborted) abort();
    else options.signal?.addEventListener('abort', abort, { once: true });
  }

  /** Sets every plugin up, those that others need first, and seals the hooks. On a failure, what was set up is disposed. */
  static async boot<Context>(options: KernelOptions<Context>): Promise<Kernel<Context>> {
    const kernel = new Kernel(options);
    try {
      for (const loaded of orderPlugins(options.plugins)) await kernel.setUp(loaded);
      const names = new Set(options.plugins.map(({ plugin }) => plugin.name));
      for (const hook of kernel.hookTable.values()) hook.seal(names);
    } catch (error) {
      await kernel.dispose().catch(() => {});
      throw error;
    }
    return kernel;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  hook<A, R = void>(name: string): Hook<A, R> {
    const hook = this.hookTable.get(name);
    if (!hook) throw new Error(`the lifecycle has no hook ${name}`);
    return hook as unknown as Hook<A, R>;
  }

  hooks(): Hook<never, unknown>[] {
    return [...this.hookTable.values()];
  }

  registry<T>(name: string): Registry<T> {
    const registry = this.registryTable.get(name);
    if (!registry) throw new Error(`the lifecycle has no registry ${name}`);
    return registry as Registry<T>;
  }

  registries(): Registry<unknown>[] {
    return [...this.registryTable.values()];
  }

  plugins(): readonly LoadedPlugin<Context>[] {
    return this.options.plugins;
  }

  /** Shuts down: every disposer runs, the last registered first, whatever the others do. */
  dispose(): Promise<void> {
    this.disposed ??= this.runDisposers();
    return this.disposed;
  }

  private async runDisposers(): Promise<void> {
    this.controller.abort(new Error('the kernel shuts down'));
    const errors: { plugin: string; error: unknown }[] = [];
    for (const { plugin, fn } of this.disposers.reverse()) {
      try {
        await fn();
      } catch (error) {
        errors.push({ plugin, error });
      }
    }
    if (errors.length === 0) return;
    throw kernelErrors.DISPOSE_FAILED(
      {
        reasons: errors.map(
          ({ plugin, error }) => `[plugin ${plugin}] ${error instanceof Error ? error.message : error}`,
        ),
      },
      { cause: errors.length === 1 ? errors[0]!.error : new AggregateError(errors.map((e) => e.error)) },
    );
  }

  private async setUp({ plugin, options }: LoadedPlugin<Context>): Promise<void> {
    const end = this.options.tracer?.begin('boot', plugin.name);
    const start = performance.now();
    const seconds = this.options.setupSeconds ?? SETUP_SECONDS;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(kernelErrors.PLUGIN_TIMEOUT({ plugin: plugin.name, seconds })), seconds * 1000);
    });
    try {
      await Promise.race([(async () => plugin.setup(this.contextFor(plugin), options))(), timeout]);
    } catch (error) {
      if (error instanceof Error && 'remedy' in error) throw error;
      throw kernelErrors.HOOK_FAILED(
        { plugin: plugin.name, hook: 'setup', reason: error instanceof Error ? error.message : String(error) },
        { cause: error },
      );
    } finally {
      clearTimeout(timer);
      end?.();
      this.bootTimes.push({ plugin: plugin.name, milliseconds: performance.now() - start });
    }
  }

  private contextFor(plugin: AnyPlugin<Context>): Context {
    const hooks: Record<string, Record<string, unknown>> = {};
    for (const [name, hook] of this.hookTable) {
      const [stage, key] = name.split('.') as [string, string];
      hooks[stage] ??= {};
      hooks[stage][key] = hook.facade(plugin.name);
    }
    const registries = Object.fromEntries([...this.registryTable].map(([name, r]) => [name, r.facade(plugin.name)]));
    return this.options.extend({
      plugin: { name: plugin.name, version: plugin.version },
      hooks: hooks as never,
      registries: registries as never,
      services: this.services.facade(plugin.name),
      signal: this.signal,
      onDispose: (fn) => void this.disposers.push({ plugin: plugin.name, fn }),
      log: this.options.log.child({ plugin: plugin.name }),
    });
  }
}

/** Checks what plugins need of each other, and puts the needed ones first. */
function orderPlugins<Context>(plugins: readonly LoadedPlugin<Context>[]): LoadedPlugin<Context>[] {
  const byName = new Map<string, LoadedPlugin<Context>>();
  for (const loaded of plugins) {
    const first = byName.get(loaded.plugin.name);
    if (first)
      throw kernelErrors.PLUGIN_DUPLICATE({ name: loaded.plugin.name, first: first.where, second: loaded.where });
    byName.set(loaded.plugin.name, loaded);
  }
  const ordered: LoadedPlugin<Context>[] = [];
  const state = new Map<string, 'visiting' | 'done'>();
  const visit = (loaded: LoadedPlugin<Context>, path: readonly string[]) => {
    const { name, requires = {}, optional = {} } = loaded.plugin;
    if (state.get(name) === 'done') return;
    if (state.get(name) === 'visiting') throw kernelErrors.PLUGIN_CYCLE({ plugins: [...path, name] });
    state.set(name, 'visiting');
    for (const [needs, range] of Object.entries({ ...optional, ...requires })) {
      const found = byName.get(needs);
      if (!found && needs in requires) throw kernelErrors.PLUGIN_MISSING({ plugin: name, needs, range });
      if (!found) continue;
      if (!satisfies(found.plugin.version, range)) {
        throw kernelErrors.PLUGIN_MISSING({ plugin: name, needs, range, found: found.plugin.version });
      }
      visit(found, [...path, name]);
    }
    state.set(name, 'done');
    ordered.push(loaded);
  };
  for (const loaded of plugins) visit(loaded, []);
  return ordered;
}
