import { DisposalStack, withTimeout } from './disposal.js';
import { isLargeForgeError, placeError, reasonOf } from './errors.js';
import { Hook } from './hook.js';
import type { FiringHooks, HookTable, TapOptions } from './hook-definition.js';
import { kernelErrors } from './kernel-errors.js';
import { type BaseContext, type LoadedPlugin, orderPlugins } from './plugin.js';
import { Registry } from './registry.js';
import { Services } from './services.js';
import type { Tracer } from './trace.js';

export interface KernelOptions<Hooks extends HookTable, Registries, Context> {
  /** The lifecycle: every hook of every stage. */
  readonly hooks: Hooks;
  /** Names of what is chosen by name. */
  readonly registries: readonly (keyof Registries & string)[];
  readonly plugins: readonly LoadedPlugin<Context>[];
  /** Makes a plugin's context of what the kernel gives it. */
  readonly extend: (base: BaseContext<Hooks, Registries>) => Context;
  /** Ends the work of all plugins. */
  readonly signal?: AbortSignal;
  readonly tracer?: Tracer;
  /** How long one plugin's setup, and one disposer, may take. */
  readonly setupSeconds?: number;
  readonly disposeSeconds?: number;
}

export interface HookDescription {
  readonly name: string;
  readonly kind: string;
  readonly summary: string;
  readonly taps: readonly { readonly plugin: string; readonly why: string }[];
}

/**
 * Holds plugins together: hooks, registries, services, set-up and shutdown. It knows neither the lifecycle's stages nor
 * what they are for.
 */
export class Kernel<Hooks extends HookTable, Registries, Context> {
  /** Fires the hooks; plugins have only the side that taps. */
  readonly hooks: FiringHooks<Hooks>;
  readonly services = new Services();
  readonly bootTimes: { readonly plugin: string; readonly milliseconds: number }[] = [];
  readonly signal: AbortSignal;
  private readonly hookTable = new Map<string, Hook>();
  private readonly registryTable = new Map<string, Registry<unknown>>();
  private readonly controller = new AbortController();
  private readonly disposal: DisposalStack;
  private readonly ordered: readonly LoadedPlugin<Context>[];
  private readonly settingUp = new Set<string>();

  private constructor(private readonly options: KernelOptions<Hooks, Registries, Context>) {
    this.ordered = orderPlugins(options.plugins);
    this.disposal = new DisposalStack(options.disposeSeconds ?? 10);
    this.hooks = this.mapHooks((hook) => ({
      fire: (value: unknown) => hook.fire(value),
      get used() {
        return hook.used;
      },
    })) as FiringHooks<Hooks>;
    for (const name of options.registries) this.registryTable.set(name, new Registry(name));
    const signals = [this.controller.signal, ...(options.signal ? [options.signal] : [])];
    this.signal = AbortSignal.any(signals);
  }

  /** Sets every plugin up, those that others need first, and seals hooks and registries. A failure disposes the rest. */
  static async boot<Hooks extends HookTable, Registries, Context>(
    options: KernelOptions<Hooks, Registries, Context>,
  ): Promise<Kernel<Hooks, Registries, Context>> {
    const kernel = new Kernel(options);
    try {
      for (const loaded of kernel.ordered) await kernel.setUp(loaded);
      kernel.seal();
    } catch (error) {
      await kernel.dispose().catch(() => {}); // the first failure is the one to tell
      throw error;
    }
    return kernel;
  }

  /** A registry by its name. */
  registry<Name extends keyof Registries & string>(name: Name): Registry<Registries[Name]> {
    return this.registryTable.get(name) as Registry<Registries[Name]>;
  }

  /** Plugins in the order in which they were set up. */
  get plugins(): readonly LoadedPlugin<Context>[] {
    return this.ordered;
  }

  describeHooks(): HookDescription[] {
    return [...this.hookTable.values()].map((hook) => {
      const { name, kind, summary } = hook;
      return { name, kind, summary, taps: hook.describe() };
    });
  }

  describeRegistries(): { name: string; entries: ReturnType<Registry<unknown>['describe']> }[] {
    return [...this.registryTable.values()].map((registry) => ({ name: registry.name, entries: registry.describe() }));
  }

  /** What plugins are busy with, such as `[plugin X] train.before`: says what a program that does not end waits for. */
  pending(): string[] {
    const setups = [...this.settingUp].map((plugin) => `[plugin ${plugin}] setup`);
    const hooks = [...this.hookTable.values()];
    return [...setups, ...hooks.flatMap((hook) => hook.pending.map((plugin) => `[plugin ${plugin}] ${hook.name}`))];
  }

  /** Asks all work to end: plugins and steps see it on their signal. */
  abort(reason?: unknown): void {
    this.controller.abort(reason);
  }

  /** Shuts down, once: every disposer runs, the last registered first. Rejects with their failures together. */
  dispose(): Promise<void> {
    this.abort(new Error('the kernel shuts down'));
    return this.disposal.dispose();
  }

  private seal(): void {
    const loaded = this.ordered.map(({ plugin }) => plugin.name);
    const optionals = new Map(this.ordered.map(({ plugin }) => [plugin.name, Object.keys(plugin.optional ?? {})]));
    const names = { loaded, optionalOf: (plugin: string) => optionals.get(plugin) ?? [] };
    for (const hook of this.hookTable.values()) hook.seal(names);
    for (const registry of this.registryTable.values()) registry.seal();
  }

  private async setUp({ plugin, options, where }: LoadedPlugin<Context>): Promise<void> {
    const { name } = plugin;
    const seconds = this.options.setupSeconds ?? 30;
    const end = this.options.tracer?.begin('boot', name);
    const start = performance.now();
    this.settingUp.add(name);
    try {
      const setup = async () => plugin.setup(this.contextFor(name, plugin.version), options);
      await withTimeout(setup, seconds, () =>
        kernelErrors.LF_PLUGIN_TIMEOUT({ plugin: name, phase: 'setup', seconds }),
      );
    } catch (error) {
      if (isLargeForgeError(error)) {
        const named = error.message.startsWith('[plugin ') ? error : placeError(error, `[plugin ${name}] setup`);
        throw where === '' ? named : placeError(named, where);
      }
      const failure = { plugin: name, hook: 'setup', reason: reasonOf(error), where };
      throw kernelErrors.LF_HOOK_FAILED(failure, { cause: error });
    } finally {
      this.settingUp.delete(name);
      end?.();
      this.bootTimes.push({ plugin: name, milliseconds: performance.now() - start });
    }
  }

  private contextFor(name: string, version: string): Context {
    const tap = (hook: Hook) => (first: unknown, second?: unknown) => {
      if (typeof first === 'function') hook.add(name, {}, first as never);
      else hook.add(name, (first ?? {}) as TapOptions, second as never);
    };
    const registries = [...this.registryTable].map(([key, registry]) => [key, registry.facade(name)]);
    return this.options.extend({
      plugin: { name, version },
      hooks: this.mapHooks((hook) => ({ tap: tap(hook) })) as never,
      registries: Object.fromEntries(registries),
      services: this.services.facade(name),
      signal: this.signal,
      onDispose: (fn) => this.disposal.push(name, fn),
    });
  }

  /** A record like the lifecycle's, with something else for each hook. */
  private mapHooks(fn: (hook: Hook) => unknown): Record<string, Record<string, unknown>> {
    const stages = Object.entries(this.options.hooks).map(([stage, hooks]) => {
      const entries = Object.entries(hooks).map(([key, definition]) => {
        const name = `${stage}.${key}`;
        const hook =
          this.hookTable.get(name) ?? new Hook(name, definition.kind, definition.summary, this.options.tracer);
        this.hookTable.set(name, hook);
        return [key, fn(hook)] as const;
      });
      return [stage, Object.freeze(Object.fromEntries(entries))] as const;
    });
    return Object.freeze(Object.fromEntries(stages)) as Record<string, Record<string, unknown>>;
  }
}
