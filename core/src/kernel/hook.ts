import {
  AsyncParallelHook,
  AsyncSeriesBailHook,
  AsyncSeriesHook,
  AsyncSeriesWaterfallHook,
  type AsyncParallelHook as TapableHook,
} from 'tapable';
import { isLargeForgeError, placeError, reasonOf } from './errors.js';
import type { HookKind, TapOptions } from './hook-definition.js';
import { kernelErrors } from './kernel-errors.js';
import { explainTap, type KnownPlugins, sortTaps, type TapRecord } from './tap-order.js';
import type { Tracer } from './trace.js';

type Listener = (value: unknown) => unknown;
type Tap = TapRecord & { readonly fn: Listener };

/** What a fired hook passes besides its value: observers leave their errors there. */
interface Call {
  readonly errors: unknown[];
}

/**
 * One hook of the lifecycle, over a tapable hook that plugins never touch. Raw tapable is not safe to hand out: a tap
 * that throws at once or returns no promise leaves `promise()` pending for ever, an async function given to `tap` loses
 * its rejection, null ends a bail hook, an unknown `before` silently means first. Here every tap goes through one guard
 * that awaits it and names plugin and hook in its error; the order is settled once, when the hook is sealed.
 */
export class Hook {
  private taps: Tap[] = [];
  private sealed: TapableHook<[unknown, Call]> | undefined;
  /** Plugins whose taps are running now. */
  private readonly running = new Map<symbol, string>();

  constructor(
    readonly name: string,
    readonly kind: HookKind,
    readonly summary = '',
    private readonly tracer?: Tracer,
  ) {}

  get used(): boolean {
    return this.taps.length > 0;
  }

  /** Plugins for whose taps a call of this hook is waiting. */
  get pending(): string[] {
    return [...this.running.values()];
  }

  add(plugin: string, options: TapOptions, fn: Listener): void {
    if (this.sealed) throw kernelErrors.LF_HOOK_SEALED({ plugin, hook: this.name });
    if (typeof fn !== 'function') throw kernelErrors.LF_HOOK_TAP({ plugin, hook: this.name, reason: 'no function' });
    const { before = [], after = [], order = 'normal', ...unknown } = options;
    if (Object.keys(unknown).length > 0 || !['pre', 'normal', 'post'].includes(order)) {
      const reason = `${JSON.stringify(options)} is not {before, after, order: "pre" or "post"}`;
      throw kernelErrors.LF_HOOK_TAP({ plugin, hook: this.name, reason });
    }
    this.taps.push({ plugin, before: [before].flat(), after: [after].flat(), order, index: this.taps.length, fn });
  }

  /** Settles the order; later taps are refused. */
  seal(plugins: KnownPlugins): void {
    this.taps = sortTaps(this.name, this.taps, plugins);
    if (this.kind === 'reversed') this.taps.reverse();
    const hook = this.create();
    for (const tap of this.taps) hook.tapPromise(tap.plugin, tap.fn as never);
    this.sealed = hook;
  }

  /** The taps in the order in which they run, and why in that order. */
  describe(): { plugin: string; why: string }[] {
    return this.taps.map((tap) => ({ plugin: tap.plugin, why: explainTap(tap, this.taps) }));
  }

  /**
   * Runs the taps. Rejects (a sync hook: throws) with `[plugin X] stage.hook: reason` and the cause, or with the error
   * of a table that a tap threw. Observers all run, whatever the others do.
   */
  fire(value: unknown): unknown {
    if (!this.sealed) throw new Error(`${this.name} was fired before it was sealed`);
    if (this.taps.length === 0) return this.kind === 'sync' ? undefined : Promise.resolve(this.answerless(value));
    return this.kind === 'sync' ? this.fireNow(value) : this.fireAsync(this.sealed, value);
  }

  private answerless(value: unknown): unknown {
    return this.kind === 'waterfall' ? value : undefined;
  }

  private async fireAsync(hook: TapableHook<[unknown, Call]>, value: unknown): Promise<unknown> {
    const call: Call = { errors: [] };
    const end = this.tracer?.begin('hook', this.name);
    try {
      const result: unknown = await hook.promise(value, call);
      throwCollected(this.name, call.errors);
      return result;
    } finally {
      end?.();
    }
  }

  /** A sync hook is not tapable's: all of its observers must run, and none may be asynchronous. */
  private fireNow(value: unknown): void {
    const errors: unknown[] = [];
    for (const { plugin, fn } of this.taps) {
      try {
        const answer = fn(value);
        if (!(answer instanceof Promise)) continue;
        answer.catch(() => {}); // reported below as what it is: a mistake of the plugin
        throw new Error('this hook is synchronous, and the tap returned a promise');
      } catch (error) {
        errors.push(this.attribute(plugin, error));
      }
    }
    throwCollected(this.name, errors);
  }

  private create(): TapableHook<[unknown, Call]> {
    const args = ['value', 'call'] as const;
    const hook =
      this.kind === 'waterfall'
        ? new AsyncSeriesWaterfallHook<[unknown, Call]>([...args], this.name)
        : this.kind === 'bail'
          ? new AsyncSeriesBailHook<[unknown, Call], unknown>([...args], this.name)
          : this.kind === 'observers'
            ? new AsyncParallelHook<[unknown, Call]>([...args], this.name)
            : new AsyncSeriesHook<[unknown, Call]>([...args], this.name);
    hook.intercept({
      register: (tap: { name: string; fn: unknown }) =>
        ({ ...tap, type: 'promise', fn: this.guard(tap.name, tap.fn as Listener) }) as never,
    });
    return hook as unknown as TapableHook<[unknown, Call]>;
  }

  private guard(plugin: string, fn: Listener): (value: unknown, call: Call) => Promise<unknown> {
    return async (value, call) => {
      const token = Symbol();
      this.running.set(token, plugin);
      const end = this.tracer?.begin('tap', `${this.name} (${plugin})`, this.kind === 'observers');
      try {
        const answer = (await fn(value)) ?? undefined; // null is no answer either
        if (this.kind === 'waterfall') return answer;
        return this.kind === 'bail' && answer !== undefined ? { plugin, answer } : undefined;
      } catch (error) {
        const attributed = this.attribute(plugin, error);
        if (this.kind !== 'observers') throw attributed;
        call.errors.push(attributed);
        return undefined;
      } finally {
        this.running.delete(token);
        end?.();
      }
    };
  }

  private attribute(plugin: string, error: unknown): unknown {
    if (isLargeForgeError(error)) return placeError(error, `[plugin ${plugin}] ${this.name}`);
    return kernelErrors.LF_HOOK_FAILED({ plugin, hook: this.name, reason: reasonOf(error) }, { cause: error });
  }
}

function throwCollected(hook: string, errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0];
  if (errors.length < 2) return;
  const reasons = errors.map(reasonOf);
  throw kernelErrors.LF_HOOKS_FAILED({ hook, reasons }, { cause: new AggregateError(errors, reasons.join('; ')) });
}
