import { kernelErrors } from './kernel-errors.js';

export type Probe = { ok: true } | { ok: false; reason: string };

/** Something that is chosen by name. It is loaded when it is chosen. */
export interface RegistryEntry<T> {
  /** One line for `inspect`. */
  readonly describe?: string;
  /** Whether it can be used on this machine. */
  readonly probe?: () => Probe | Promise<Probe>;
  readonly load: () => T | Promise<T>;
}

/** What a plugin sees of a registry. */
export interface RegistryView<T> {
  add(id: string, entry: RegistryEntry<T>): void;
  /** Loads the entry: LF_REGISTRY_UNKNOWN, or LF_REGISTRY_UNAVAILABLE when its probe says no. */
  get(id: string, where?: string): Promise<T>;
  has(id: string): boolean;
  ids(): string[];
  /** The first entry, in the order of registration, whose probe passes; with every reason why the others do not. */
  auto(): Promise<{ id: string; value: T; rejected: { id: string; reason: string }[] }>;
}

export class Registry<T> {
  private readonly entries = new Map<string, RegistryEntry<T> & { plugin: string; value?: Promise<T> }>();

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
  describe(): { id: string; plugin: string; describe?: string }[] {
    return [...this.entries].map(([id, { plugin, describe }]) => ({ id, plugin, describe }));
  }

  ownerOf(id: string): string | undefined {
    return this.entries.get(id)?.plugin;
  }

  probe(id: string): Promise<Probe> {
    return this.probeEntry(this.find(id));
  }

  async get(id: string, where?: string): Promise<T> {
    const entry = this.find(id, where);
    const probe = await this.probeEntry(entry);
    if (!probe.ok) throw kernelErrors.REGISTRY_UNAVAILABLE({ registry: this.name, id, reason: probe.reason });
    return this.load(entry);
  }

  async auto(): Promise<{ id: string; value: T; rejected: { id: string; reason: string }[] }> {
    const rejected: { id: string; reason: string }[] = [];
    for (const [id, entry] of this.entries) {
      const probe = await this.probeEntry(entry);
      if (probe.ok) return { id, value: await this.load(entry), rejected };
      rejected.push({ id, reason: probe.reason });
    }
    throw kernelErrors.REGISTRY_NONE({ registry: this.name, reasons: rejected.map((r) => `${r.id}: ${r.reason}`) });
  }

  private add(plugin: string, id: string, entry: RegistryEntry<T>): void {
    const known = this.entries.get(id);
    if (known) throw kernelErrors.REGISTRY_DUPLICATE({ registry: this.name, id, plugin, owner: known.plugin });
    this.entries.set(id, { ...entry, plugin });
  }

  private find(id: string, where?: string) {
    const entry = this.entries.get(id);
    if (!entry) throw kernelErrors.REGISTRY_UNKNOWN({ registry: this.name, id, known: this.ids(), where });
    return entry;
  }

  private async probeEntry(entry: RegistryEntry<T>): Promise<Probe> {
    try {
      return (await entry.probe?.()) ?? { ok: true };
    } catch (error) {
      return { ok: false, reason: error instanceof Error ? error.message : String(error) };
    }
  }

  private load(entry: RegistryEntry<T> & { value?: Promise<T> }): Promise<T> {
    // Shared by all who ask; a failure is not kept, so that it can be tried again.
    entry.value ??= Promise.resolve()
      .then(() => entry.load())
      .catch((error) => {
        entry.value = undefined;
        throw error;
      });
    return entry.value;
  }
}
