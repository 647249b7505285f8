/** What a caller asks of the generation engine, and what it gets back. */
import type { AdapterHandle } from './adapter-slots.js';

/** How the next token is chosen. The order of application is that of the backend's SAMPLE op. */
export interface SamplingParams {
  /** 0 is greedy: the largest logit, the lowest id on a tie. */
  readonly temperature: number;
  /** Keep the smallest set of tokens whose probability reaches this; 1 is off. */
  readonly topP: number;
  /** Keep this many tokens; 0 is off. */
  readonly topK: number;
  /** Keep tokens at least this share as likely as the best; 0 is off. */
  readonly minP: number;
  /** Over prompt and output (CTRL, Keskar et al. 2019, section 4.1); 1 is off. */
  readonly repetitionPenalty: number;
  /** Subtracted once from the logit of a token that the output holds already. */
  readonly presencePenalty: number;
  /** Subtracted for each time that the output holds the token. */
  readonly frequencyPenalty: number;
  /** The stream's own seed: the result does not depend on what else runs. Absent: a random one. */
  readonly seed?: number;
  /** Added to the logits of single tokens. */
  readonly logitBias?: ReadonlyMap<number, number>;
}

/** Greedy decoding without penalties. */
export const greedy: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

/** What tokens may follow, step by step: a grammar, a schema. */
export interface TokenConstraint {
  /**
   * The tokens allowed next, bit t of word t / 32 for token t, or undefined when all are. It is asked for once a token,
   * and may take a while: the sequence waits for it, others run on.
   */
  next(): Promise<Uint32Array | undefined> | Uint32Array | undefined;
  /** A token was taken. True when the text is complete and nothing may follow. */
  accept(token: number): boolean;
  dispose?(): void;
}

/** One sequence to continue. */
export interface GenerateRequest {
  readonly promptTokens: ArrayLike<number>;
  readonly sampling: SamplingParams;
  /** At most this many new tokens; 0 only beside `forced`. */
  readonly maxTokens: number;
  /**
   * Tokens between the prompt and the new ones: a text that is there already, whose log probabilities are wanted. They
   * count as a part of the prompt, and nothing among them ends the text; `forcedLogprobs` of the last event tells of them.
   */
  readonly forced?: ArrayLike<number>;
  /** Strings that end the text; none of them, nor what follows, is emitted. */
  readonly stop?: readonly string[];
  /** Token ids that end the text besides the model's own end-of-text tokens. */
  readonly stopTokenIds?: readonly number[];
  /** Do not end at the model's end-of-text tokens (benchmarks). */
  readonly ignoreEos?: boolean;
  /** Log probability of each token and of this many of the most likely ones; absent: none. */
  readonly logprobs?: number;
  /** Aborting it frees the sequence within one step. */
  readonly signal?: AbortSignal;
  /** Smaller runs earlier; equal ones by arrival. */
  readonly priority?: number;
  /** An adapter that the model serves (`AdapterSlots`); absent: the model itself. */
  readonly adapter?: AdapterHandle;
  /** Requests share cached prefixes only with requests of the same salt. */
  readonly cacheSalt?: string;
  /** Restricts which token may come next. */
  readonly constraint?: TokenConstraint;
}

export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

/** Of one generated token, from the model's own distribution (before penalties, temperature and truncation). */
export interface PositionLogprobs extends TokenLogprob {
  /** The most likely tokens, best first. */
  readonly top: readonly TokenLogprob[];
}

export interface TokenUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Prompt tokens whose keys and values were found in the cache. */
  readonly cachedTokens: number;
}

export type FinishReason = 'stop' | 'length';

/** A piece of a stream. Text is held back while it may still turn out to be the start of a stop string. */
export type GenerateEvent =
  | {
      readonly type: 'token';
      readonly text: string;
      readonly tokens: readonly number[];
      readonly logprobs?: readonly PositionLogprobs[];
    }
  | {
      readonly type: 'done';
      readonly finishReason: FinishReason;
      /** The stop string that ended the text, when one did. */
      readonly stop?: string;
      readonly usage: TokenUsage;
      /** Of the forced tokens, where log probabilities were asked for. */
      readonly forcedLogprobs?: readonly PositionLogprobs[];
    };
