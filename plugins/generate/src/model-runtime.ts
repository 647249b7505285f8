import type { ChosenBackend } from '@largeforge/core';
import {
  type AdapterHandle,
  AdapterSlots,
  adapterBase,
  asCausal,
  backendDevices,
  type CausalLanguageModel,
  createGenerationEngine,
  type Device,
  DraftModel,
  type DraftProposer,
  type GenerateEvent,
  type GenerationEngine,
  type GrammarSpec,
  Grammars,
  isAdapterFolder,
  loadAdapter,
  loadModel,
  loadTensorParallel,
  type MixedModel,
  mergeAdapter,
  openDevice,
  PromptLookup,
  readAdapter,
  readModelSource,
  sameTokenizerFiles,
  type TokenConstraint,
  Tokenizer,
  type WeightPrecision,
  withTokenizerOf,
} from '@largeforge/engine';
import { TextEmbedder } from './embedding/text-embedder.js';
import { modelErrors } from './errors.js';
import type { GenerateOptions, Speculation } from './options.js';
import type { ServedModel } from './served-model.js';
import { servedTokenizer } from './served-tokenizer.js';

/** Tokens of texts that are embedded between two steps of what the same model generates. */
const EMBEDDED_TOKENS = 256;

/** How base models run: the plugin's options. */
export type RuntimeSettings = GenerateOptions & { readonly maxAdapterRank: number };

export const defaultSettings: RuntimeSettings = { maxAdapterRank: 256 };

/** A model, or an adapter's folder, of a mixture, and how much it counts. */
export interface MixedPath {
  readonly path: string;
  readonly weight: number;
}

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
    /** The first has what models return. */
    private readonly devices: readonly Device[],
    private readonly models: readonly MixedModel[],
    private readonly engine: GenerationEngine,
    readonly tokenizer: Tokenizer,
    /** Where the base model was read from. */
    readonly path: string,
    private readonly settings: RuntimeSettings,
    private readonly loadSeconds: number,
  ) {
    this.adapters = new AdapterSlots(this.model);
    this.embedder = new TextEmbedder(this.model, { of: 'mean', normalize: true }, EMBEDDED_TOKENS);
  }

  private get device(): Device {
    return this.devices[0]!;
  }

  /** The first of them, whose tokenizer is everybody's. */
  private get model(): CausalLanguageModel {
    return this.models[0]!.model;
  }

  /** Whether several models generate as one. */
  get mixed(): boolean {
    return this.models.length > 1;
  }

  /**
   * Loads a base model.
   * @param merged an adapter's folder to merge into it; the runtime then serves that one model
   * @param weights what matrices are kept in; as stored unless given
   * @param mixedWith models that generate as one with it: the next token is drawn from the weighted geometric mean of their
   * distributions; it has the weight 1 itself. Throws LF_MODEL_MIXED_VOCABULARY.
   */
  static async open(
    { library, threads, device: index }: ChosenBackend,
    path: string,
    {
      merged,
      weights = 'as-stored',
      mixedWith = [],
      speculation,
      settings,
    }: {
      merged?: string;
      weights?: WeightPrecision;
      mixedWith?: readonly MixedPath[];
      speculation?: Speculation;
      settings: RuntimeSettings;
    },
  ): Promise<ModelRuntime> {
    const start = performance.now();
    const { tensorParallel: ways = 1 } = settings;
    if (ways > 1 && (merged !== undefined || mixedWith.length > 0 || (speculation && 'draft' in speculation))) {
      const what = merged !== undefined ? 'a merged adapter' : mixedWith.length > 0 ? 'a mixture' : 'a draft model';
      throw modelErrors.LF_MODEL_TENSOR_PARALLEL({ path, ways, what });
    }
    const devices = openDevices({ library, threads, device: index }, ways);
    const device = devices[0]!;
    try {
      const { model, tokenizer } =
        ways > 1 ? await openSplit(devices, path, weights) : await openOne(device, path, merged, weights);
      const models: MixedModel[] = [{ model, weight: 1 }];
      for (const { path: other, weight } of mixedWith) {
        const next = await openAny(device, other, weights);
        const reason = vocabularyDifference(tokenizer, next.tokenizer, model, next.model);
        if (reason !== undefined) throw modelErrors.LF_MODEL_MIXED_VOCABULARY({ path, other, reason });
        models.push({ model: next.model, weight });
      }
      const draft =
        speculation && 'draft' in speculation ? await openDraft(device, speculation.draft, path, tokenizer) : undefined;
      await device.flush();
      const {
        cacheMiB,
        cacheType,
        contextLength,
        batchInvariant,
        maxAdapterRank: _,
        tensorParallel: __,
        ...limits
      } = settings;
      const engine = createGenerationEngine({
        model: models,
        tokenizer,
        limits,
        cacheType,
        contextLength,
        batchInvariant,
        ...(cacheMiB !== undefined && { cacheBytes: cacheMiB * 2 ** 20 }),
        ...(speculation && { proposer: proposerOf(speculation, draft, model, limits.maxSpeculating) }),
      });
      const seconds = (performance.now() - start) / 1000;
      return new ModelRuntime(devices, models, engine, tokenizer, path, settings, seconds);
    } catch (error) {
      for (const each of devices) each[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Gives an adapter a place beside the base model. Throws LF_MODEL_ADAPTER_RANK, LF_MODEL_ADAPTER_VOCABULARY and what
   * `AdapterSlots.load` throws; nothing has changed then.
   */
  async loadAdapter(path: string): Promise<LoadedAdapter> {
    const start = performance.now();
    const { tensorParallel: ways = 1 } = this.settings;
    if (ways > 1) throw modelErrors.LF_MODEL_TENSOR_PARALLEL({ path: this.path, ways, what: `the adapter '${path}'` });
    const rank = adapterRank(path);
    const { maxAdapterRank: limit } = this.settings;
    if (rank > limit) throw modelErrors.LF_MODEL_ADAPTER_RANK({ path, rank, limit });
    // Making a tokenizer anew takes long, and nearly every adapter has that of its base model.
    const tokenizer = sameTokenizerFiles(path, this.path)
      ? this.tokenizer
      : Tokenizer.of(withTokenizerOf(path, readModelSource(this.path)));
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
      scoresTexts: true,
      ...(adapter || this.mixed ? {} : { embedding: this.embedder }),
      generate: ({ format, ...request }) => {
        const start = (constraint?: TokenConstraint) => {
          // Whoever still holds this model must not get the adapter that has its place by now.
          if (adapter && !this.live.has(adapter)) throw modelErrors.LF_MODEL_UNLOADED({ id });
          return engine.generate({ ...request, ...own, ...(constraint && { constraint }) });
        };
        return format === undefined ? start() : constrained(this.grammarsOf(tokenizer), format, request.signal, start);
      },
      stats: () => {
        const { running, waiting, cacheBlocks, cacheBlocksUsed, failure } = engine.stats();
        const { name, kind } = device.properties;
        return {
          running,
          waiting,
          cacheUsage: cacheBlocksUsed / cacheBlocks,
          loadSeconds: adapter?.loadSeconds ?? this.loadSeconds,
          device: { name, kind, memoryUsedBytes: this.devices.reduce((sum, each) => sum + each.memoryUsed(), 0) },
          ...(failure !== undefined && { failure }),
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
    for (const { model } of this.models) model.dispose();
    for (const device of this.devices) device[Symbol.dispose]();
  }
}

/**
 * Devices of a backend from the chosen one on. Processors are one device, of which each gets a share of the threads. Throws
 * LF_MODEL_TOO_FEW_DEVICES.
 */
function openDevices({ library, threads, device: first = 0 }: Omit<ChosenBackend, 'id'>, ways: number): Device[] {
  if (ways === 1) return [openDevice({ library, threads, index: first })];
  const { devices: known, reason } = backendDevices(() => library);
  const shared = known[first]?.unifiedMemory ?? false;
  if (!shared && known.length < first + ways) {
    throw modelErrors.LF_MODEL_TOO_FEW_DEVICES({ ways, first, found: known.length, reason });
  }
  const cores = threads ?? known[first]?.computeUnits ?? ways;
  const devices: Device[] = [];
  try {
    for (let rank = 0; rank < ways; rank++) {
      devices.push(
        openDevice(
          shared
            ? { library, index: first, threads: Math.max(1, Math.floor(cores / ways)) }
            : { library, index: first + rank },
        ),
      );
    }
  } catch (error) {
    for (const device of devices) device[Symbol.dispose]();
    throw error;
  }
  return devices;
}

/** A model that several devices share. */
async function openSplit(
  devices: readonly Device[],
  path: string,
  weights: WeightPrecision,
): ReturnType<typeof openOne> {
  const tokenizer = Tokenizer.of(readModelSource(path));
  return { model: await loadTensorParallel(devices, path, { weights }), tokenizer };
}

/** A draft model of the same tokens. Throws LF_MODEL_DRAFT_VOCABULARY. */
async function openDraft(
  device: Device,
  path: string,
  target: string,
  tokenizer: Tokenizer,
): Promise<CausalLanguageModel> {
  const draft = await openAny(device, path, 'as-stored');
  const reason = tokenDifference(tokenizer, draft.tokenizer);
  if (reason !== undefined) throw modelErrors.LF_MODEL_DRAFT_VOCABULARY({ path: target, draft: path, reason });
  return draft.model;
}

function proposerOf(
  { tokens }: Speculation,
  draft: CausalLanguageModel | undefined,
  model: CausalLanguageModel,
  maxSequences = 4,
): DraftProposer {
  if (!draft) return new PromptLookup({ tokens });
  return new DraftModel(draft, { tokens, maxSequences, vocabSize: model.config.vocabSize });
}

/** A model, or an adapter merged into its base model. */
function openAny(device: Device, path: string, weights: WeightPrecision): ReturnType<typeof openOne> {
  return isAdapterFolder(path)
    ? openOne(device, adapterBase(path), path, weights)
    : openOne(device, path, undefined, weights);
}

async function openOne(
  device: Device,
  path: string,
  merged: string | undefined,
  weights: WeightPrecision,
): Promise<{ readonly model: CausalLanguageModel; readonly tokenizer: Tokenizer }> {
  const source = readModelSource(path);
  const tokenizer = Tokenizer.of(merged === undefined ? source : withTokenizerOf(merged, source));
  const model = asCausal(await loadModel(device, path, { weights }));
  if (merged !== undefined) {
    await loadAdapter(model, merged);
    mergeAdapter(model);
  }
  model.prepare();
  return { model, tokenizer };
}

/** Why two models cannot choose tokens together; nothing when every token is the same to both. */
function vocabularyDifference(
  own: Tokenizer,
  other: Tokenizer,
  model: CausalLanguageModel,
  otherModel: CausalLanguageModel,
): string | undefined {
  const [size, otherSize] = [model.config.vocabSize, otherModel.config.vocabSize];
  if (size !== otherSize) return `it chooses among ${otherSize} tokens, not ${size}`;
  return tokenDifference(own, other);
}

/** Why the tokens of two tokenizers are not the same. */
function tokenDifference(own: Tokenizer, other: Tokenizer): string | undefined {
  if (own.vocabSize !== other.vocabSize) return `its tokenizer has ${other.vocabSize} tokens, not ${own.vocabSize}`;
  for (let token = 0; token < own.vocabSize; token++) {
    const [a, b] = [own.tokenBytes(token), other.tokenBytes(token)];
    const same = a === b || (a !== undefined && b !== undefined && Buffer.from(a).equals(Buffer.from(b)));
    if (!same) return `its token ${token} is another one`;
  }
  return undefined;
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
