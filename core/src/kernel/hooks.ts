import { AsyncParallelHook, AsyncSeriesBailHook, AsyncSeriesHook, AsyncSeriesWaterfallHook } from 'tapable';
import { isLargeForgeError } from './errors.js';
import { kernelErrors } from './kernel-errors.js';
import type { Tracer } from './trace.js';

/** How the taps of a hook work together. */
export type HookKind = 'series' | 'waterfall' | 'bail' | 'observers';

/** Where a tap stands among the others of its hook. */
export interface TapOptions {
  /** Plugins before whose taps this one runs. */
  before?: string | readonly string[];
  /** Plugins after whose taps this one runs. */
  after?: string | readonly string[];
  /** Among taps that nothing else orders: smaller runs earlier; 0 unless given. */
  order?: number;
}

export interface TapRecord {
  readonly plugin: string;
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly order: number;
  readonly index: number;
}

type Listener<A, R> = (value: A) => R | Promise<R>;

/** What a plugin sees of a hook: it can tap it and cannot fire it. */
export interface Tappable<A, R = void> {
  tap(fn: Listener<A, R>): void;
  tap(options: TapOptions, fn: Listener<A, R>): void;
}

const asList = (value: string | readonly string[] | undefined) =>
  value === undefined ? [] : ([value].flat() as string[]);
const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/**
 * One hook of the lifecycle over a tapable hook that plugins never touch: every tap is async-safe (a tap that throws at
 * once, or returns no promise, would otherwise leave tapable's promise pending for ever), errors name plugin and hook,
 * and taps are sorted once, when the hook is sealed.
 */
export class Hook<A, R = void> {
  private taps: (TapRecord & { fn: Listener<A, R> })[] = [];
  private sealed: ((value: A) => Promise<unknown>) | undefined;

  constructor(
    readonly name: string,
    readonly kind: HookKind,
    private readonly tracer?: Tracer,
  ) {}

  /** The facade for one plugin. */
  facade(plugin: string): Tappable<A, R> {
    return {
      tap: (first: TapOptions | Listener<A, R>, second?: Listener<A, R>) => {
        if (typeof first === 'function') this.add(plugin, {}, first);
        else this.add(plugin, first, second!);
      },
    };
  }

  /** Sorts the taps; later ones are refused. `plugins` are the names that before and after may use. */
  seal(plugins: ReadonlySet<string>): void {
    this.taps = sortTaps(this.name, this.taps, plugins);
    this.sealed = this.compile();
  }

  /** The taps in the order in which they run, once sealed. */
  records(): readonly TapRecord[] {
    return this.taps.map(({ fn: _, ...record }) => record);
  }

  /** Series: resolves when all ran. Waterfall: the last value. Bail: the first answer, or undefined. */
  async fire(value: A): Promise<R extends void ? A | undefined : R | undefined> {
    const run = this.sealed ?? this.compile();
    const end = this.tracer?.begin('hook', this.name);
    try {
      return (await run(value)) as never;
    } finally {
      end?.();
    }
  }

  private add(plugin: string, options: TapOptions, fn: Listener<A, R>): void {
    if (this.sealed) throw kernelErrors.HOOK_SEALED({ plugin, hook: this.name });
    if (typeof fn !== 'function')
      throw kernelErrors.HOOK_ORDER({ hook: this.name, reason: `plugin ${plugin} taps it without a function` });
    this.taps.push({
      plugin,
      before: asList(options.before),
      after: asList(options.after),
      order: options.order ?? 0,
      index: this.taps.length,
      fn,
    });
  }

  private compile(): (value: A) => Promise<unknown> {
    if (this.kind === 'observers') return (value) => this.observe(value);
    const hook =
      this.kind === 'waterfall'
        ? new AsyncSeriesWaterfallHook<[A]>(['value'], this.name)
        : this.kind === 'bail'
          ? new AsyncSeriesBailHook<[A], R>(['value'], this.name)
          : new AsyncSeriesHook<[A]>(['value'], this.name);
    for (const tap of this.taps) hook.tapPromise(tap.plugin, (value: A) => this.call(tap, value) as never);
    return (value) => hook.promise(value);
  }

  /** Runs every observer, whatever the others do, and reports all failures together. */
  private async observe(value: A): Promise<void> {
    const hook = new AsyncParallelHook<[A]>(['value'], this.name);
    const errors: unknown[] = [];
    for (const tap of this.taps) {
      hook.tapPromise(tap.plugin, (v: A) =>
        this.call(tap, v).then(
          () => undefined,
          (error) => void errors.push(error),
        ),
      );
    }
    await hook.promise(value);
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) {
      throw kernelErrors.HOOKS_FAILED(
        { hook: this.name, reasons: errors.map(reasonOf) },
        { cause: new AggregateError(errors) },
      );
    }
  }

  private async call(tap: { plugin: string; fn: Listener<A, R> }, value: A): Promise<R | undefined> {
    try {
      const answer = await tap.fn(value);
      // null is no answer: tapable would end a bail hook with it.
      return answer ?? undefined;
    } catch (error) {
      if (isLargeForgeError(error)) throw error;
      throw kernelErrors.HOOK_FAILED(
        { plugin: tap.plugin, hook: this.name, reason: reasonOf(error) },
        { cause: error },
      );
    }
  }
}

/** Topological order by before and after; among the free ones by `order`, then by registration. */
function sortTaps<T extends TapRecord>(hook: string, taps: readonly T[], plugins: ReadonlySet<string>): T[] {
  const waitsFor = new Map<T, Set<T>>(taps.map((tap) => [tap, new Set<T>()]));
  const tapsOf = (owner: TapRecord, name: string) => {
    if (!plugins.has(name)) {
      throw kernelErrors.HOOK_ORDER({
        hook,
        reason: `plugin ${owner.plugin} wants an order with "${name}", which is not loaded`,
      });
    }
    return taps.filter((tap) => tap.plugin === name && tap !== owner);
  };
  for (const tap of taps) {
    for (const name of tap.after) for (const other of tapsOf(tap, name)) waitsFor.get(tap)!.add(other);
    for (const name of tap.before) for (const other of tapsOf(tap, name)) waitsFor.get(other)!.add(tap);
  }
  const sorted: T[] = [];
  const left = new Set(taps);
  while (left.size > 0) {
    const free = [...left].filter((tap) => [...waitsFor.get(tap)!].every((other) => !left.has(other)));
    if (free.length === 0) {
      const names = [...left].map((tap) => tap.plugin).join(', ');
      throw kernelErrors.HOOK_ORDER({ hook, reason: `before and after go round in a circle among ${names}` });
    }
    free.sort((a, b) => a.order - b.order || a.index - b.index);
    sorted.push(free[0]!);
    left.delete(free[0]!);
  }
  return sorted;
}
