import type { ChatMessage } from '@largeforge/engine';

/** A text as it stands, or a conversation for the model's chat template. */
export type Prompt = string | readonly ChatMessage[];

export interface ScoredPair {
  readonly context: Prompt;
  readonly continuation: string;
}

export interface PairScore {
  /** Natural logarithm of the probability of the continuation, given the context. */
  readonly logLikelihood: number;
  /** Whether greedy decoding would have produced the continuation. */
  readonly greedy: boolean;
}

export interface GenerationRequest {
  readonly prompt: Prompt;
  /** Texts that end the answer, and are no part of it. */
  readonly until: readonly string[];
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  /** Go on after the token that ends a text, where the model can; for measurements of speed. */
  readonly ignoreEndOfText?: boolean;
}

export interface Answer {
  readonly text: string;
  readonly promptTokens: number;
  readonly tokens: number;
  /** From the request to the first token, and to the last, in seconds. */
  readonly firstTokenSeconds: number;
  readonly seconds: number;
}

export interface ModelRun {
  readonly signal: AbortSignal;
  /** Called with the number of requests that are done. */
  readonly onProgress?: (done: number) => void;
}

/** A model as tasks see it: here, or behind a server. */
export interface EvaluatedModel extends AsyncDisposable {
  readonly name: string;
  /** Scores in the order of the pairs. */
  logLikelihoods(pairs: readonly ScoredPair[], run: ModelRun): Promise<PairScore[]>;
  /** Log-likelihoods of whole texts, each token given as many before it as the model takes. */
  textLogLikelihoods(texts: readonly string[], run: ModelRun): Promise<number[]>;
  /** Answers in the order of the requests. */
  generate(requests: readonly GenerationRequest[], run: ModelRun): Promise<Answer[]>;
  /** What it takes on the device, when it is loaded here. */
  memoryBytes?(): number;
}
