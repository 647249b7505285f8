import type { GenerateEvent, GenerateRequest, GrammarSpec } from '@largeforge/engine';

/** A message of a conversation. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** What commands and servers need of a tokenizer. */
export interface ModelTokenizer {
  readonly vocabSize: number;
  readonly bosTokenId?: number;
  readonly eosTokenIds: readonly number[];
  /** Characters that one token stands for at most, where that is known. */
  readonly maxTokenLength?: number;
  encode(text: string, options?: { addSpecialTokens?: boolean }): Promise<ArrayLike<number>>;
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: { addGenerationPrompt: boolean; tools?: readonly unknown[] },
  ): string;
}

/** State of a model, read at any time. */
export interface ModelStats {
  readonly running: number;
  readonly waiting: number;
  /** Share of the cache's blocks in use, 0 to 1. */
  readonly cacheUsage?: number;
  readonly loadSeconds: number;
  readonly device: { readonly name: string; readonly kind: string; readonly memoryUsedBytes: number };
  /** Why the model can serve no more, when that is so. */
  readonly failure?: string;
}

/** A request to a served model. */
export interface ServedRequest extends Omit<GenerateRequest, 'adapter' | 'constraint'> {
  /** What the text must look like. Throws LF_ENGINE_GRAMMAR before the first event when it is wrong. */
  readonly format?: GrammarSpec;
}

/** Texts to vectors. */
export interface ServedEmbedding {
  /** Length of the vectors. */
  readonly size: number;
  /** Tokens of each text, one at least and `contextLength` at most. */
  embed(texts: readonly ArrayLike<number>[], signal?: AbortSignal): Promise<Float32Array[]>;
}

/** A loaded model. */
export interface ServedModel {
  readonly id: string;
  readonly tokenizer: ModelTokenizer;
  /** Prompt and completion together. */
  readonly contextLength: number;
  readonly chatTemplate?: string;
  /** Whether requests may have a `format`. */
  readonly constrains?: boolean;
  /** Whether requests may have `forced` tokens. */
  readonly scoresTexts?: boolean;
  /** False for an encoder, which gives vectors alone. */
  readonly generates?: boolean;
  readonly embedding?: ServedEmbedding;
  generate(request: ServedRequest): AsyncIterable<GenerateEvent>;
  stats(): ModelStats;
}
