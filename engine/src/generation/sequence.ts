import type { GenerateRequest } from './request.js';

export type SequenceState = 'waiting' | 'running' | 'finished';

/**
 * One request inside of the scheduler. `tokens` is the prompt followed by the output; `computed` of them have their
 * keys and values in the cache. There is no prefill phase: a step advances `computed` towards `tokens.length`, and the
 * step that reaches it samples the next token. Guessed tokens (`draft`) follow `tokens` in a step; the ones that the
 * model would have drawn itself become tokens.
 */
export class Sequence {
  readonly tokens: number[];
  readonly promptLength: number;
  state: SequenceState = 'waiting';
  computed = 0;
  /** Guesses at the next tokens. */
  draft: readonly number[] = [];
  /** Waits for something outside (which tokens its grammar allows) and takes part in no step until then. */
  blocked = false;
  /** Cache blocks, in the order of positions. */
  blocks: number[] = [];
  /** Leading blocks that others can find, and the identity of the last of them. */
  prefixBlocks = 0;
  prefixParent: string | undefined;
  /** Prompt tokens that were found in the cache when the sequence first ran. */
  cachedTokens: number | undefined;
  /** How often it had to give its blocks back. */
  preemptions = 0;

  constructor(
    readonly id: number,
    readonly request: GenerateRequest,
    readonly priority: number,
  ) {
    this.tokens = Array.from(request.promptTokens);
    this.promptLength = this.tokens.length;
  }

  get outputLength(): number {
    return this.tokens.length - this.promptLength;
  }

  get forcedLength(): number {
    return this.request.forced?.length ?? 0;
  }

  /** Tokens of output at most, the forced ones included. */
  get outputLimit(): number {
    return this.forcedLength + this.request.maxTokens;
  }

  /** Tokens that it has at most when it ends. */
  get fullLength(): number {
    return this.promptLength + this.outputLimit;
  }

  /** Tokens, guesses included, whose keys and values are still missing. */
  get pending(): number {
    return this.tokens.length + this.draft.length - this.computed;
  }

  /** The token at a position, guesses included. */
  tokenAt(position: number): number {
    return this.tokens[position] ?? this.draft[position - this.tokens.length]!;
  }
}
