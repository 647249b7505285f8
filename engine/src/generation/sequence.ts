import type { GenerateRequest } from './request.js';

export type SequenceState = 'waiting' | 'running' | 'finished';

/**
 * One request inside of the scheduler. `tokens` is the prompt followed by the output; `computed` of them have their
 * keys and values in the cache. There is no prefill phase: a step advances `computed` towards `tokens.length`, and the
 * step that reaches it samples the next token.
 */
export class Sequence {
  readonly tokens: number[];
  readonly promptLength: number;
  state: SequenceState = 'waiting';
  computed = 0;
  /** Cache blocks, in the order of positions. */
  blocks: number[] = [];
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

  /** Tokens whose keys and values are still missing. */
  get pending(): number {
    return this.tokens.length - this.computed;
  }
}
