import type { ChosenBackend } from '@largeforge/core';
import {
  type AdapterHandle,
  AdapterSlots,
  asCausal,
  type CausalLanguageModel,
  createGenerationEngine,
  type Device,
  type GenerateEvent,
  type GenerationEngine,
  type GrammarSpec,
  Grammars,
  loadAdapter,
  loadModel,
  mergeAdapter,
  openDevice,
  readAdapter,
  readModelSource,
  type TokenConstraint,
  Tokenizer,
  type WeightPrecision,
  withTokenizerOf,
} from '@largeforge/engine';
import { TextEmbedder } from './embedding/text-embedder.js';
import { modelErrors } from './errors.js';
import type { ServedModel } from './served-model.js';
import { servedTokenizer } from './served-tokenizer.js';

/** How a base model runs. */
export interface RuntimeSettings {
  /** Largest rank of an adapter that is served beside its base model. */
  readonly maxAdapterRank: number;
  /** A text is bit for bit the same alone and in company; costs time over prompts. */
  readonly batchInvariant?: boolean;
}

export const defaultSettings: RuntimeSettings = { maxAdapterRank: 256 };

/** An adapter in a place of its runtime. */
export interface LoadedAdapter {
  readonly handle: AdapterHandle;
  readonly tokenizer: Tokenizer;
  readonly loadSeconds: number;
}

/**
 * One base model on a device, with the engine that generates from it and the adapters that share it: their requests run
 * in the same batches as those of the base model.
 */
export class ModelRuntime {
  private readonly adapters: AdapterSlots;
  private readonly embedder: TextEmbedder;
  /** Adapters that take requests. */
  private readonly live = new Set<LoadedAdapter>();
  private readonly grammars = new Map<string, Grammars>();
  private closed = false;

  private constructor(
    private readonly device: Device,
    private readonly model: CausalLanguageModel,
    private readonly engine: GenerationEngine,
    readonly tokenizer: Tokenizer,
    /** Where the base model was read from. */
    readonly path: string,
    private readonly settings: RuntimeSettings,
    private readonly loadSeconds: number,
  ) {
    this.adapters = new AdapterSlots(model);
    this.embedder = new TextEmbedder(model, { of: 'mean', normalize: true });
  }

  /**
   * Loads a base model.
   * @param merged an adapter's folder to merge into it; the runtime then serves that one model
   * @param weights what matrices are kept in; as stored unless given
   */
  static async open(
    { library, threads, device: index }: ChosenBackend,
    path: string,
    {
      merged,
      weights = 'as-stored',
      settings,
    }: { merged?: string; weights?: WeightPrecision; settings: RuntimeSettings },
  ): Promise<ModelRuntime> {
    const start = performance.now();
    const device = openDevice({ library, threads, index });
    try {
      const source = readModelSource(path);
      const tokenizer = Tokenizer.of(merged === undefined ? source : withTokenizerOf(merged, source));
      const model = asCausal(await loadModel(device, path, { weights }));
      if (merged !== undefined) {
        await loadAdapter(model, merged);
        mergeAdapter(model);
      }
      model.prepare();
      await device.flush();
      const engine = createGenerationEngine({ model, tokenizer, batchInvariant: settings.batchInvariant });
      const seconds = (performance.now() - start) / 1000;
      return new ModelRuntime(device, model, engine, tokenizer, path, settings, seconds);
    } catch (error) {
      device[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Gives an adapter a place beside the base model. Throws LF_MODEL_ADAPTER_RANK, LF_MODEL_ADAPTER_VOCABULARY and what
   * `AdapterSlots.load` throws; nothing has changed then.
   */
  async loadAdapter(path: string): Promise<LoadedAdapter> {
    const start = performance.now();
    const rank = adapterRank(path);
    const { maxAdapterRank: limit } = this.settings;
    if (rank > limit) throw modelErrors.LF_MODEL_ADAPTER_RANK({ path, rank, limit });
    const tokenizer = Tokenizer.of(withTokenizerOf(path, readModelSource(this.path)));
    if (tokenizer.vocabSize !== this.tokenizer.vocabSize) {
      const sizes = { adapter: tokenizer.vocabSize, base: this.tokenizer.vocabSize };
      throw modelErrors.LF_MODEL_ADAPTER_VOCABULARY({ path, ...sizes });
    }
    const handle = this.adapters.load(path);
    await this.device.flush();
    const adapter = { handle, tokenizer, loadSeconds: (performance.now() - start) / 1000 };
    this.live.add(adapter);
    return adapter;
  }

  /** Takes no more requests for an adapter, and resolves when none runs. */
  async drainAdapter(adapter: LoadedAdapter): Promise<void> {
    this.live.delete(adapter);
    await this.engine.drained(adapter.handle);
  }

  /** Frees a drained adapter: its place may go to another one. */
  freeAdapter({ handle }: LoadedAdapter): void {
    if (!this.closed) this.adapters.unload(handle);
  }

  /** The base model, or one of its adapters, under a name. */
  serve(id: string, adapter?: LoadedAdapter): ServedModel {
    const { engine, device } = this;
    const tokenizer = adapter?.tokenizer ?? this.tokenizer;
    // The engine ends texts where the base model's do; an adapter may have learnt to end them otherwise.
    const own = adapter && { adapter: adapter.handle, stopTokenIds: tokenizer.eosTokenIds };
    return {
      id,
      tokenizer: servedTokenizer(tokenizer),
      contextLength: engine.contextLength,
      ...(tokenizer.chatTemplate && { chatTemplate: tokenizer.chatTemplate.source }),
      constrains: true,
      ...(adapter ? {} : { embedding: this.embedder }),
      generate: ({ format, ...request }) => {
        const start = (constraint?: TokenConstraint) => {
          // Whoever still holds this model must not get the adapter that has its place by now.
          if (adapter && !this.live.has(adapter)) throw modelErrors.LF_MODEL_UNLOADED({ id });
          return engine.generate({ ...request, ...own, ...(constraint && { constraint }) });
        };
        return format === undefined ? start() : constrained(this.grammarsOf(tokenizer), format, request.signal, start);
      },
      stats: () => {
        const { running, waiting, cacheBlocks, cacheBlocksUsed } = engine.stats();
        const { name, kind } = device.properties;
        return {
          running,
          waiting,
          cacheUsage: cacheBlocksUsed / cacheBlocks,
          loadSeconds: adapter?.loadSeconds ?? this.loadSeconds,
          device: { name, kind, memoryUsedBytes: device.memory().allocated },
        };
      },
    };
  }

  /** Grammars over a tokenizer's vocabulary; adapters that end texts as their base model does share its own. */
  private grammarsOf(tokenizer: Tokenizer): Grammars {
    const key = tokenizer.eosTokenIds.join();
    let grammars = this.grammars.get(key);
    if (!grammars) {
      grammars = new Grammars({
        vocabSize: this.model.config.vocabSize,
        tokens: tokenizer.vocabSize,
        stopTokenIds: tokenizer.eosTokenIds,
        tokenBytes: (token) => tokenizer.tokenBytes(token),
        isSpecial: (token) => tokenizer.isSpecial(token),
      });
      this.grammars.set(key, grammars);
    }
    return grammars;
  }

  /** Ends what is being generated with an error and frees everything. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.engine.close();
    await Promise.all([...this.grammars.values()].map((grammars) => grammars.close()));
    this.adapters[Symbol.dispose]();
    this.model.dispose();
    this.device[Symbol.dispose]();
  }
}

/** A stream that is held to a format: it starts when the grammar is ready. */
async function* constrained(
  grammars: Grammars,
  format: GrammarSpec,
  signal: AbortSignal | undefined,
  start: (constraint: TokenConstraint) => AsyncIterable<GenerateEvent>,
): AsyncIterable<GenerateEvent> {
  const constraint = await grammars.constrain(format);
  let stream: AsyncIterable<GenerateEvent>;
  try {
    signal?.throwIfAborted();
    stream = start(constraint);
  } catch (error) {
    constraint.dispose?.();
    throw error;
  }
  yield* stream;
}

/** The largest rank of an adapter's layers, as its config says. */
function adapterRank(path: string): number {
  const { r, rank_pattern: pattern } = readAdapter(path).config;
  const ranks = Object.values((pattern ?? {}) as Record<string, unknown>);
  return Math.max(...[r, ...ranks].map(Number).filter(Number.isFinite), 0);
}
