import type { GrammarSpec } from './grammar-spec.js';

/** What a grammar thread starts with: the whole vocabulary, or none when it only checks grammars. */
export interface GrammarThreadData {
  readonly vocabulary?: {
    readonly tokens: readonly string[];
    readonly vocabSize: number;
    readonly stop: readonly number[];
  };
}

export type GrammarCall =
  /** Is this a grammar? */
  | { readonly call: 'check'; readonly spec: GrammarSpec }
  /** Starts a text under a grammar; answers with the first mask. */
  | { readonly call: 'open'; readonly matcher: number; readonly spec: GrammarSpec }
  /** The text goes on with a token; answers with the next mask. */
  | { readonly call: 'advance'; readonly matcher: number; readonly token: number }
  | { readonly call: 'close'; readonly matcher: number };

export type GrammarRequest = GrammarCall & { readonly id: number };

export interface GrammarReply {
  readonly id: number;
  /** Allowed tokens, a bit each. */
  readonly mask?: Uint32Array;
  readonly error?: string;
}
