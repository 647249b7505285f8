import { isLargeForgeError, placeError, reasonOf } from './errors.js';
import { kernelErrors } from './kernel-errors.js';

export type Probe = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Something that is chosen by name. It is loaded when it is chosen. */
export interface RegistryEntry<T> {
  /** One line for `inspect`. */
  readonly describe?: string;
  /** Whether it can be used on this machine. */
  readonly probe?: () => Probe | Promise<Probe>;
  /** `auto` tries a higher one first; 0 unless given. */
  readonly priority?: number;
  readonly load: () => T | Promise<T>;
}

/** What `auto` chose, and why it did not take the ones before. */
export interface AutoChoice<T> {
  readonly id: string;
  readonly value: T;
  readonly rejected: readonly { readonly id: string; readonly reason: string }[];
}

/** What a plugin sees of a registry. */
export interface RegistryView<T> {
  /** Registers an entry; only in setup(). */
  add(id: string, entry: RegistryEntry<T>): void;
  /**
   * Loads the entry. A named one that cannot be used here is an error, never replaced by another.
   * @param where place that asked for it, for errors
   */
  get(id: string, where?: string): Promise<T>;
  has(id: string): boolean;
  ids(): string[];
  /** The first entry, by priority and then in the order of registration, whose probe passes. */
  auto(): Promise<AutoChoice<T>>;
}

type Entry<T> = RegistryEntry<T> & { readonly plugin: string; value?: Promise<T> };

export class Registry<T> {
  private readonly entries = new Map<string, Entry<T>>();
  private sealed = false;

  constructor(readonly name: string) {}

  facade(plugin: string): RegistryView<T> {
    return {
      add: (id, entry) => this.add(plugin, id, entry),
      get: (id, where) => this.get(id, where),
      has: (id) => this.entries.has(id),
      ids: () => this.ids(),
      auto: () => this.auto(),
    };
  }

  ids(): string[] {
    return [...this.entries.keys()];
  }

  /** Entries with their owners, for `inspect`. */
  describe(): { id: string; plugin: string; describe?: string; priority: number }[] {
    return [...this.entries].map(([id, { plugin, describe, priority = 0 }]) => ({ id, plugin, describe, priority }));
  }

  ownerOf(id: string): string | undefined {
    return this.entries.get(id)?.plugin;
  }

  seal(): void {
    this.sealed = true;
  }

  /** Whether the entry can be used here; a probe that throws says no. */
  probe(id: string): Promise<Probe> {
    return this.probeEntry(this.find(id));
  }

  async get(id: string, where?: string): Promise<T> {
    const entry = this.find(id, where);
    const probe = await this.probeEntry(entry);
    if (!probe.ok) {
      throw kernelErrors.LF_REGISTRY_UNAVAILABLE({ registry: this.name, id, reason: probe.reason, where });
    }
    return this.loadEntry(id, entry);
  }

  /** Loads an entry whatever its probe says: to read what it declares, not to run it. */
  async load(id: string): Promise<T> {
    return this.loadEntry(id, this.find(id));
  }

  async auto(): Promise<AutoChoice<T>> {
    const rejected: { id: string; reason: string }[] = [];
    const byPriority = [...this.entries].sort(([, a], [, b]) => (b.priority ?? 0) - (a.priority ?? 0));
    for (const [id, entry] of byPriority) {
      const probe = await this.probeEntry(entry);
      if (probe.ok) return { id, value: await this.loadEntry(id, entry), rejected };
      rejected.push({ id, reason: probe.reason });
    }
    throw kernelErrors.LF_REGISTRY_NONE({ registry: this.name, reasons: rejected.map((r) => `${r.id}: ${r.reason}`) });
  }

  private add(plugin: string, id: string, entry: RegistryEntry<T>): void {
    const registry = this.name;
    if (this.sealed) throw kernelErrors.LF_REGISTRY_SEALED({ registry, id, plugin });
    if (!/^[a-z0-9][a-z0-9._-]*$/.test(id)) throw kernelErrors.LF_REGISTRY_ID({ registry, id, plugin });
    const known = this.entries.get(id);
    if (known) throw kernelErrors.LF_REGISTRY_DUPLICATE({ registry, id, plugin, owner: known.plugin });
    this.entries.set(id, { ...entry, plugin });
  }

  private find(id: string, where?: string): Entry<T> {
    const entry = this.entries.get(id);
    if (!entry) throw kernelErrors.LF_REGISTRY_UNKNOWN({ registry: this.name, id, known: this.ids(), where });
    return entry;
  }

  private async probeEntry(entry: Entry<T>): Promise<Probe> {
    try {
      return (await entry.probe?.()) ?? { ok: true };
    } catch (error) {
      return { ok: false, reason: reasonOf(error) };
    }
  }

  private loadEntry(id: string, entry: Entry<T>): Promise<T> {
    // Shared by all who ask; a failure is not kept, so that it can be tried again.
    entry.value ??= Promise.resolve()
      .then(() => entry.load())
      .catch((error: unknown) => {
        entry.value = undefined;
        if (isLargeForgeError(error)) throw placeError(error, `[plugin ${entry.plugin}] ${this.name} "${id}"`);
        const { plugin } = entry;
        throw kernelErrors.LF_REGISTRY_LOAD(
          { registry: this.name, id, plugin, reason: reasonOf(error) },
          { cause: error },
        );
      });
    return entry.value;
  }
}
