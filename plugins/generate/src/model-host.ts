import { basename } from 'node:path';
import { type ChosenBackend, defineErrors } from '@largeforge/core';
import {
  adapterBase,
  asCausal,
  checkModelFiles,
  createGenerationEngine,
  type Device,
  type GenerationEngine,
  isAdapterFolder,
  loadAdapter,
  loadModel,
  mergeAdapter,
  openDevice,
  readModelSource,
  Tokenizer,
  type WeightPrecision,
  withTokenizerOf,
} from '@largeforge/engine';
import type { ModelTokenizer, ServedModel } from './served-model.js';

const errors = defineErrors({
  LF_MODEL_NOT_SERVED: {
    message: (a: { id: string; known: readonly string[] }) =>
      `no model "${a.id}" is loaded; loaded: ${a.known.join(', ') || 'none'}`,
    remedy: () => 'Load it first, or use the name of a loaded one.',
  },
  LF_MODEL_NAME_TAKEN: {
    message: (a: { id: string }) => `a model is served as "${a.id}" already`,
    remedy: () => 'Give it another name with {path, id}.',
  },
});

export interface ModelSpec {
  /** A Hugging Face folder, a .gguf file, an adapter's folder, or a name of the local cache; absolute where it is a path. */
  readonly path: string;
  /** The name that requests use; from the path when absent. */
  readonly id?: string;
  /** What matrices are kept in; as stored unless given: block formats of a .gguf file stay in their own bits. */
  readonly weights?: WeightPrecision;
}

export interface ModelInfo {
  readonly id: string;
  readonly created: number;
  readonly ownedBy: string;
  readonly parent?: string;
}

interface Loaded {
  readonly info: ModelInfo;
  readonly served: ServedModel;
  readonly engine: GenerationEngine;
  readonly device: Device;
}

/** Models loaded for generation, by the names that requests use. Provided as the service 'models'. */
export class ModelHost {
  private readonly models = new Map<string, Loaded>();

  constructor(private readonly backend: () => Promise<ChosenBackend>) {}

  list(): readonly ModelInfo[] {
    return [...this.models.values()].map(({ info }) => info);
  }

  async get(id: string): Promise<ServedModel> {
    const loaded = this.models.get(id);
    if (!loaded) throw errors.LF_MODEL_NOT_SERVED({ id, known: [...this.models.keys()] });
    return loaded.served;
  }

  /** Throws what loading a model would complain of, as far as the backend and its files tell it quickly. */
  async check({ path }: ModelSpec): Promise<void> {
    await this.backend();
    checkModelFiles(path);
  }

  /** Loads a model and makes it ready to generate. */
  async load(spec: ModelSpec, _signal?: AbortSignal): Promise<ModelInfo> {
    const id = spec.id ?? basename(spec.path).replace(/\.gguf$/, '');
    if (this.models.has(id)) throw errors.LF_MODEL_NAME_TAKEN({ id });
    const start = performance.now();
    const { library, threads, device: index } = await this.backend();
    const device = openDevice({ library, threads, index });
    try {
      const adapter = isAdapterFolder(spec.path) ? spec.path : undefined;
      const base = adapter === undefined ? spec.path : adapterBase(adapter);
      const source = readModelSource(base);
      const tokenizer = Tokenizer.of(adapter === undefined ? source : withTokenizerOf(adapter, source));
      const model = asCausal(await loadModel(device, base, { weights: spec.weights ?? 'as-stored' }));
      if (adapter !== undefined) {
        await loadAdapter(model, adapter);
        mergeAdapter(model);
      }
      model.prepare();
      await device.flush();
      const engine = createGenerationEngine({ model, tokenizer });
      const loadSeconds = (performance.now() - start) / 1000;
      const info: ModelInfo = {
        id,
        created: Math.floor(Date.now() / 1000),
        ownedBy: 'largeforge',
        ...(adapter !== undefined && { parent: base }),
      };
      const served: ServedModel = {
        id,
        tokenizer: servedTokenizer(tokenizer),
        contextLength: engine.contextLength,
        ...(tokenizer.chatTemplate && { chatTemplate: tokenizer.chatTemplate.source }),
        generate: (request) => engine.generate(request),
        stats: () => {
          const { running, waiting, cacheBlocks, cacheBlocksUsed } = engine.stats();
          const { name, kind } = device.properties;
          return {
            running,
            waiting,
            cacheUsage: cacheBlocksUsed / cacheBlocks,
            loadSeconds,
            device: { name, kind, memoryUsedBytes: device.memory().allocated },
          };
        },
      };
      this.models.set(id, { info, served, engine, device });
      return info;
    } catch (error) {
      device[Symbol.dispose]();
      throw error;
    }
  }

  /** Ends what is being generated with an error and frees the model. */
  async unload(id: string): Promise<void> {
    const loaded = this.models.get(id);
    if (!loaded) throw errors.LF_MODEL_NOT_SERVED({ id, known: [...this.models.keys()] });
    this.models.delete(id);
    await loaded.engine.close();
    loaded.device[Symbol.dispose]();
  }

  async close(): Promise<void> {
    for (const id of [...this.models.keys()]) await this.unload(id);
  }
}

function servedTokenizer(tokenizer: Tokenizer): ModelTokenizer & { tokenBytes(id: number): Uint8Array } {
  return {
    vocabSize: tokenizer.vocabSize,
    bosTokenId: tokenizer.bosTokenId,
    eosTokenIds: tokenizer.eosTokenIds,
    encode: (text, options) => tokenizer.encode(text, options),
    decode: (ids, options) => {
      const decoder = tokenizer.streamDecoder(options);
      return Array.from(ids, (id) => decoder.push(id)).join('') + decoder.flush();
    },
    tokenBytes: (id) => tokenizer.tokenBytes(id),
    applyChatTemplate: (messages, options) => tokenizer.applyChatTemplate(messages as never, options),
  };
}
