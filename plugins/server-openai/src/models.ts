/**
 * What the server needs of the models it serves. Any plugin may provide it as the service 'models'; the server knows
 * nothing of tensors, files or schedulers.
 */

/** One entry of `GET /v1/models`. */
export interface ModelInfo {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly ownedBy: string;
  /** The base model's id when this one is an adapter. */
  readonly parent?: string;
}

/** How the next token is chosen; the order of application is the engine's. */
export interface SamplingParams {
  readonly temperature: number;
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
  /** 0 is off. */
  readonly minP: number;
  /** 1 is off. */
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly seed?: number;
  readonly logitBias?: ReadonlyMap<number, number>;
}

/** One sequence to continue. */
export interface GenerateRequest {
  readonly promptTokens: ArrayLike<number>;
  readonly sampling: SamplingParams;
  readonly maxTokens: number;
  /** Tokens behind those of the prompt, whose log probabilities the done event tells; only for models that `scoresTexts`. */
  readonly forced?: ArrayLike<number>;
  readonly stop: readonly string[];
  /** Do not end at the model's end-of-text tokens. */
  readonly ignoreEos?: boolean;
  /** Log probability of each token and of this many of the most likely ones; absent: none. */
  readonly logprobs?: number;
  /** Aborting it frees whatever the sequence holds. */
  readonly signal: AbortSignal;
  /** Smaller runs earlier; 0 when absent. */
  readonly priority?: number;
  /** What the text must look like; only for models that `constrains`. A wrong one fails with LF_ENGINE_GRAMMAR. */
  readonly format?: OutputFormat;
}

/** A form that a text is held to while it is generated. */
export type OutputFormat =
  | { readonly kind: 'json-schema'; readonly schema: unknown }
  | { readonly kind: 'regex'; readonly pattern: string }
  /** EBNF with a rule "root". */
  | { readonly kind: 'grammar'; readonly ebnf: string }
  /** XGrammar's structural tags: text with parts between markers. */
  | { readonly kind: 'structural-tag'; readonly format: unknown };

export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

export interface PositionLogprobs extends TokenLogprob {
  /** The most likely tokens, best first. */
  readonly top: readonly TokenLogprob[];
}

export interface TokenUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens?: number;
}

export interface TokenEvent {
  readonly type: 'token';
  /** Text that can be shown: decoded, and no longer part of a possible stop string. */
  readonly text: string;
  readonly tokens: readonly number[];
  readonly logprobs?: readonly PositionLogprobs[];
}

export interface DoneEvent {
  readonly type: 'done';
  readonly finishReason: 'stop' | 'length';
  readonly usage: TokenUsage;
  /** Of the request's forced tokens. */
  readonly forcedLogprobs?: readonly PositionLogprobs[];
}

/** A stream is any number of token events and one done event; a failure is thrown. */
export type GenerateEvent = TokenEvent | DoneEvent;

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  readonly name?: string;
  /** Calls of an assistant's message; arguments are JSON values, as templates expect them. */
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly type: 'function';
    readonly function: { readonly name: string; readonly arguments: unknown };
  }[];
  /** The call that a tool's message answers. */
  readonly tool_call_id?: string;
}

export interface ServedTokenizer {
  readonly vocabSize: number;
  readonly bosTokenId?: number;
  readonly eosTokenIds: readonly number[];
  /** Characters that one token stands for at most, where that is known. */
  readonly maxTokenLength?: number;
  encode(text: string, options?: { addSpecialTokens?: boolean }): Promise<ArrayLike<number>>;
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  /** The exact bytes that a token stands for, which `decode` cannot give for a part of a character. */
  tokenBytes?(id: number): Uint8Array;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: { addGenerationPrompt: boolean; tools?: readonly unknown[] },
  ): string;
}

export interface ModelStats {
  /** Sequences in the running batch. */
  readonly running: number;
  /** Sequences that wait for a place in it. */
  readonly waiting: number;
  /** Share of the cache's blocks in use, 0 to 1. */
  readonly cacheUsage?: number;
  /** Seconds that loading took. */
  readonly loadSeconds?: number;
  /** Where the model lies. */
  readonly device?: { readonly name: string; readonly kind: string; readonly memoryUsedBytes: number };
  /** Why the model can serve no more, when that is so. */
  readonly failure?: string;
}

export interface ServedModel {
  readonly id: string;
  readonly tokenizer: ServedTokenizer;
  /** Prompt and completion together. */
  readonly contextLength: number;
  /** The template's source; absent when the model has none, and then it cannot chat. */
  readonly chatTemplate?: string;
  /** Whether requests may have a `format`. */
  readonly constrains?: boolean;
  /** Whether requests may have `forced` tokens. */
  readonly scoresTexts?: boolean;
  /** False for a model that gives vectors alone. */
  readonly generates?: boolean;
  /** Absent where the model gives no vectors. */
  readonly embedding?: {
    /** Length of the vectors. */
    readonly size: number;
    /** Tokens of each text, one at least and `contextLength` at most. */
    embed(texts: readonly ArrayLike<number>[], signal?: AbortSignal): Promise<Float32Array[]>;
  };
  generate(request: GenerateRequest): AsyncIterable<GenerateEvent>;
  stats(): ModelStats;
}

/** What to load and under which name. */
export interface ModelSpec {
  /** A Hugging Face folder, a GGUF file, or an adapter's folder. */
  readonly path: string;
  /** The name that requests use; from the path when absent. */
  readonly id?: string;
  /** For an adapter: the id of the loaded model that it belongs to; what the adapter names when absent. */
  readonly base?: string;
  /** Models of the same vocabulary that generate as one with it, and how much each counts beside its own 1. */
  readonly mixedWith?: readonly { readonly path: string; readonly weight: number }[];
  /** Guess tokens ahead with a smaller model, or from repetitions in the text. */
  readonly speculation?:
    | { readonly draft: string; readonly tokens?: number }
    | { readonly lookup: true; readonly tokens?: number };
}

/** The service 'models'. */
export interface ModelHost {
  /** Every model that can be asked for. */
  list(): readonly ModelInfo[];
  /** The model of an id that `list` gives. */
  get(id: string): Promise<ServedModel>;
  /** Throws what loading would complain of, as far as that can be told quickly; before a pipeline's first step runs. */
  check?(spec: ModelSpec): void | Promise<void>;
  load(spec: ModelSpec, signal?: AbortSignal): Promise<ModelInfo>;
  /**
   * Takes the id away at once. What a base model generates ends with an error, and its adapters go with it; an adapter is
   * freed when its running requests have ended, and then the promise resolves.
   */
  unload(id: string): Promise<void>;
}
