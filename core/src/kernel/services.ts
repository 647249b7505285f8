import { kernelErrors } from './kernel-errors.js';

/** What plugins share, by a key that they agree on. */
export interface ServicesView {
  /** A value, or a function that makes it when it is first asked for. */
  provide<T>(key: string, value: T | (() => T | Promise<T>)): void;
  get<T>(key: string): Promise<T>;
  has(key: string): boolean;
}

export class Services {
  private readonly entries = new Map<string, { plugin: string; value: unknown; made?: Promise<unknown> }>();

  facade(plugin: string): ServicesView {
    return {
      provide: (key, value) => this.provide(plugin, key, value),
      get: (key) => this.get(key),
      has: (key) => this.entries.has(key),
    };
  }

  describe(): { key: string; plugin: string }[] {
    return [...this.entries].map(([key, { plugin }]) => ({ key, plugin }));
  }

  async get<T>(key: string): Promise<T> {
    const entry = this.entries.get(key);
    if (!entry) throw kernelErrors.SERVICE_UNKNOWN({ key, known: [...this.entries.keys()] });
    entry.made ??= Promise.resolve(
      typeof entry.value === 'function' ? (entry.value as () => unknown)() : entry.value,
    ).catch((error) => {
      entry.made = undefined;
      throw error;
    });
    return entry.made as Promise<T>;
  }

  private provide(plugin: string, key: string, value: unknown): void {
    const known = this.entries.get(key);
    if (known) throw kernelErrors.SERVICE_DUPLICATE({ key, plugin, owner: known.plugin });
    this.entries.set(key, { plugin, value });
  }
}
