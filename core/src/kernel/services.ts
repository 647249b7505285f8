import { AsyncLocalStorage } from 'node:async_hooks';
import { isLargeForgeError, reasonOf } from './errors.js';
import { kernelErrors } from './kernel-errors.js';

/** What plugins share, by a key that they agree on. */
export interface ServicesView {
  /** A value, or a function that makes it when it is first asked for (wrap a function that is itself the value). */
  provide<T>(key: string, value: T | (() => T | Promise<T>)): void;
  get<T>(key: string): Promise<T>;
  has(key: string): boolean;
}

interface Entry {
  readonly plugin: string;
  readonly value: unknown;
  made?: Promise<unknown>;
}

export class Services {
  private readonly entries = new Map<string, Entry>();
  /** Services that are being made for one another: two that wait for each other would wait for ever. */
  private readonly making = new AsyncLocalStorage<readonly string[]>();
  private begun = 0;

  facade(plugin: string): ServicesView {
    return {
      provide: (key, value) => this.provide(plugin, key, value),
      get: (key) => this.get(key),
      has: (key) => this.entries.has(key),
    };
  }

  /** Keys with their owners, for `inspect`. */
  describe(): { key: string; plugin: string }[] {
    return [...this.entries].map(([key, { plugin }]) => ({ key, plugin }));
  }

  async get<T>(key: string): Promise<T> {
    const entry = this.entries.get(key);
    if (!entry) throw kernelErrors.LF_SERVICE_UNKNOWN({ key, known: [...this.entries.keys()] });
    const chain = this.making.getStore() ?? [];
    if (chain.includes(key)) throw kernelErrors.LF_SERVICE_CYCLE({ keys: [...chain.slice(chain.indexOf(key)), key] });
    entry.made ??= this.begin([...chain, key], key, entry).catch((error: unknown) => {
      entry.made = undefined; // not kept, so that it can be tried again
      throw error;
    });
    return entry.made as Promise<T>;
  }

  private async begin(chain: readonly string[], key: string, entry: Entry): Promise<unknown> {
    this.begun++;
    try {
      return await this.making.run(chain, () => this.make(key, entry));
    } finally {
      // While it follows calls, every promise of the process costs twice as much.
      if (--this.begun === 0) this.making.disable();
    }
  }

  private async make(key: string, entry: Entry): Promise<unknown> {
    try {
      return typeof entry.value === 'function' ? await (entry.value as () => unknown)() : entry.value;
    } catch (error) {
      if (isLargeForgeError(error)) throw error;
      throw kernelErrors.LF_SERVICE_FAILED({ key, plugin: entry.plugin, reason: reasonOf(error) }, { cause: error });
    }
  }

  private provide(plugin: string, key: string, value: unknown): void {
    const known = this.entries.get(key);
    if (known) throw kernelErrors.LF_SERVICE_DUPLICATE({ key, plugin, owner: known.plugin });
    this.entries.set(key, { plugin, value });
  }
}
