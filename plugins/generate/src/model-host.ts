import { basename } from 'node:path';
import type { ChosenBackend } from '@largeforge/core';
import {
  adapterBase,
  checkModelFiles,
  hasCode,
  isAdapterFolder,
  locateModel,
  parseModelConfig,
  readModelSource,
  type WeightPrecision,
} from '@largeforge/engine';
import { EncoderRuntime } from './encoder-runtime.js';
import { modelErrors } from './errors.js';
import {
  defaultSettings,
  type LoadedAdapter,
  type MixedPath,
  ModelRuntime,
  type RuntimeSettings,
} from './model-runtime.js';
import type { Speculation } from './options.js';
import type { ServedModel } from './served-model.js';

export interface ModelSpec {
  /** A Hugging Face folder, a .gguf file, an adapter's folder, or a name of the local cache; absolute where it is a path. */
  readonly path: string;
  /** The name that requests use; from the path when absent. */
  readonly id?: string;
  /** What matrices are kept in; as stored unless given: block formats of a .gguf file stay in their own bits. */
  readonly weights?: WeightPrecision;
  /** For an adapter: the name of the loaded model that it belongs to; what its adapter_config.json names when absent. */
  readonly base?: string;
  /**
   * Models and adapters of the same vocabulary that generate as one with it: each token is drawn from the weighted
   * geometric mean of their distributions, in which this model counts 1.
   */
  readonly mixedWith?: readonly MixedPath[];
  /** Guess tokens ahead; the text stays the same. Of a base model or a mixture. */
  readonly speculation?: Speculation;
}

export interface ModelInfo {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly ownedBy: string;
  /** The base model of an adapter: its name where it is served, else its path. */
  readonly parent?: string;
}

interface Loaded {
  readonly info: ModelInfo;
  readonly served: ServedModel;
  readonly runtime: ModelRuntime | EncoderRuntime;
  /** Absent for a base model, and for an adapter that was merged into one of its own. */
  readonly adapter?: { readonly runtime: ModelRuntime; readonly loaded: LoadedAdapter };
}

/**
 * Models loaded for generation, by the names that requests use. A base model is loaded once; its adapters are models of
 * their own to requests, and share its memory and its batches. Provided as the service 'models'.
 */
export class ModelHost {
  private readonly models = new Map<string, Loaded>();
  /** Loading and unloading happen one after the other. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly backend: () => Promise<ChosenBackend>,
    private readonly settings: RuntimeSettings = defaultSettings,
  ) {}

  list(): readonly ModelInfo[] {
    return [...this.models.values()].map(({ info }) => info);
  }

  async get(id: string): Promise<ServedModel> {
    return this.find(id).served;
  }

  /** Throws what loading a model would complain of, as far as the backend and its files tell it quickly. */
  async check({ path, mixedWith = [], speculation }: ModelSpec): Promise<void> {
    await this.backend();
    const draft = speculation && 'draft' in speculation ? [speculation.draft] : [];
    for (const each of [path, ...mixedWith.map((member) => member.path), ...draft]) checkModelFiles(each);
  }

  /**
   * Loads a model and makes it ready to generate. An adapter joins its base model where that is loaded (by the name of
   * `base`, else by its place on disk); otherwise the base model is loaded for it.
   */
  load(spec: ModelSpec, _signal?: AbortSignal): Promise<ModelInfo> {
    return this.exclusive(async () => {
      const id = spec.id ?? basename(spec.path).replace(/\.gguf$/, '');
      if (this.models.has(id)) throw modelErrors.LF_MODEL_NAME_TAKEN({ id });
      const loaded = await this.open(id, spec);
      this.models.set(id, loaded);
      return loaded.info;
    });
  }

  /**
   * Takes a model's name away at once. What a base model generates ends with an error, and its adapters go with it; an
   * adapter is freed when its running requests have ended.
   */
  unload(id: string): Promise<void> {
    const { runtime, adapter } = this.find(id);
    if (adapter) this.models.delete(id);
    else for (const [name, other] of this.models) if (other.runtime === runtime) this.models.delete(name);
    const free = () =>
      this.exclusive(async () => {
        if (adapter) adapter.runtime.freeAdapter(adapter.loaded);
        if (![...this.models.values()].some((other) => other.runtime === runtime)) await runtime.close();
      });
    // Others may be loaded while its last requests run.
    return adapter ? adapter.runtime.drainAdapter(adapter.loaded).then(free) : free();
  }

  async close(): Promise<void> {
    await this.exclusive(async () => {
      const runtimes = new Set([...this.models.values()].map(({ runtime }) => runtime));
      this.models.clear();
      for (const runtime of runtimes) await runtime.close();
    });
  }

  private open(id: string, spec: ModelSpec): Promise<Loaded> {
    if (spec.mixedWith) return this.openMixture(id, spec, spec.mixedWith);
    return isAdapterFolder(spec.path) ? this.openAdapter(id, spec) : this.openBase(id, spec);
  }

  private async openMixture(id: string, spec: ModelSpec, mixedWith: readonly MixedPath[]): Promise<Loaded> {
    const { path, weights, speculation } = spec;
    const merged = isAdapterFolder(path) ? path : undefined;
    const base = merged === undefined ? path : adapterBase(merged);
    const options = { merged, weights, mixedWith, speculation, settings: this.settings };
    const runtime = await ModelRuntime.open(await this.backend(), base, options);
    return { info: describe(id), served: runtime.serve(id), runtime };
  }

  private async openBase(id: string, { path, base, weights, speculation }: ModelSpec): Promise<Loaded> {
    if (base !== undefined) throw modelErrors.LF_MODEL_NOT_AN_ADAPTER({ path });
    // Before the files: without a backend nothing could be done with them.
    const backend = await this.backend();
    const encodes = parseModelConfig(readModelSource(path).config).kind === 'encoder';
    const runtime = encodes
      ? await EncoderRuntime.open(backend, path)
      : await ModelRuntime.open(backend, path, { weights, speculation, settings: this.settings });
    return { info: describe(id), served: runtime.serve(id), runtime };
  }

  private async openAdapter(id: string, { path, base, weights, speculation }: ModelSpec): Promise<Loaded> {
    const basePath = base === undefined ? adapterBase(path) : undefined;
    const shared = base === undefined ? this.runtimeOf(basePath!) : this.generatorOf(base, path);
    const { settings } = this;
    const runtime =
      shared ?? (await ModelRuntime.open(await this.backend(), basePath!, { weights, speculation, settings }));
    const parent = base ?? this.baseName(runtime) ?? runtime.path;
    try {
      const adapter = await runtime.loadAdapter(path);
      const served = runtime.serve(id, adapter);
      return { info: describe(id, parent), served, runtime, adapter: { runtime, loaded: adapter } };
    } catch (error) {
      if (!shared) await runtime.close();
      // What cannot lie beside a base model (trained biases, whole modules, more tokens) can still be merged into one.
      const mergeable = hasCode(error, 'LF_ENGINE_ADAPTER_TENSORS') || hasCode(error, 'LF_MODEL_ADAPTER_VOCABULARY');
      if (basePath === undefined || !mergeable) throw error;
      const options = { merged: path, weights, speculation, settings };
      const own = await ModelRuntime.open(await this.backend(), basePath, options);
      return { info: describe(id, parent), served: own.serve(id), runtime: own };
    }
  }

  /** The runtime of an unmerged base model. */
  private runtimeOf(basePath: string): ModelRuntime | undefined {
    const place = locateModel(basePath);
    for (const { runtime, info, adapter } of this.models.values()) {
      const merged = info.parent !== undefined && adapter === undefined;
      if (runtime instanceof ModelRuntime && runtime.mixed) continue;
      if (!merged && runtime instanceof ModelRuntime && locateModel(runtime.path) === place) return runtime;
    }
    return undefined;
  }

  /** @throws LF_MODEL_NOT_GENERATING for an encoder, which has no adapters */
  private generatorOf(id: string, path: string): ModelRuntime {
    const { runtime } = this.find(id);
    if (!(runtime instanceof ModelRuntime)) throw modelErrors.LF_MODEL_NOT_GENERATING({ id });
    if (runtime.mixed) throw modelErrors.LF_MODEL_MIXED_ADAPTER({ path, id });
    return runtime;
  }

  private baseName(runtime: ModelRuntime): string | undefined {
    for (const [id, loaded] of this.models) if (loaded.runtime === runtime && !loaded.adapter) return id;
    return undefined;
  }

  private find(id: string): Loaded {
    const loaded = this.models.get(id);
    if (!loaded) throw modelErrors.LF_MODEL_NOT_SERVED({ id, known: [...this.models.keys()] });
    return loaded;
  }

  private exclusive<T>(action: () => Promise<T>): Promise<T> {
    const result = this.last.then(action);
    this.last = result.catch(() => {});
    return result;
  }
}

function describe(id: string, parent?: string): ModelInfo {
  const created = Math.floor(Date.now() / 1000);
  return { id, created, ownedBy: 'largeforge', ...(parent !== undefined && { parent }) };
}
