import type { EventQueue } from './event-queue.js';
import type { StepResult } from './executor.js';
import type { FinishReason, GenerateEvent, PositionLogprobs } from './request.js';
import type { Sequence } from './sequence.js';
import { StopStrings } from './stop-strings.js';

/** Turns token ids into text piece by piece, never cutting a character in two. */
export interface TextDecoder {
  push(token: number): string;
  flush(): string;
}

/** What one request has said so far, and the events that tell its reader. */
export class Stream {
  /** Tokens that may come next, of a constrained request. */
  mask: Uint32Array | undefined;
  /** Ends listening for the request's abort. */
  detach: () => void = () => {};
  private readonly stops: StopStrings;
  /** Drawn tokens whose text is still withheld. */
  private pendingTokens: number[] = [];
  private pendingLogprobs: PositionLogprobs[] = [];
  private readonly forcedLogprobs: PositionLogprobs[] = [];
  /** Why the stream ends, once that is known. */
  private end: { readonly reason: FinishReason; readonly stop?: string; readonly emitHeld: boolean } | undefined;

  /** @param endTokens tokens that end the text */
  constructor(
    readonly sequence: Sequence,
    readonly events: EventQueue<GenerateEvent>,
    private readonly decoder: TextDecoder,
    private readonly endTokens: ReadonlySet<number>,
    readonly seed: readonly [low: number, high: number],
  ) {
    this.stops = new StopStrings(sequence.request.stop ?? []);
  }

  /** Whether it is known that the stream ends, and why. */
  get ended(): boolean {
    return this.end !== undefined;
  }

  /** Takes the token that a step drew in `row`; false when it ends the stream. */
  accept(result: StepResult, row: number): boolean {
    const { sequence } = this;
    const { constraint, logprobs } = sequence.request;
    const token = result.tokens[row]!;
    const forced = sequence.outputLength < sequence.forcedLength;
    sequence.tokens.push(token);
    if (forced) {
      if (logprobs !== undefined) this.forcedLogprobs.push(logprobsOf(result, row, logprobs));
      if (sequence.outputLength >= sequence.outputLimit) this.end = { reason: 'length', emitHeld: true };
      return this.end === undefined;
    }
    if (this.endTokens.has(token)) {
      // The end token is counted, as every server of this kind does, but it is no text.
      this.end = { reason: 'stop', emitHeld: true };
      return false;
    }
    this.pendingTokens.push(token);
    if (logprobs !== undefined) this.pendingLogprobs.push(logprobsOf(result, row, logprobs));
    const { text, stop } = this.stops.push(this.decoder.push(token));
    if (text.length > 0) this.emit(text);
    if (stop !== undefined) this.end = { reason: 'stop', stop, emitHeld: false };
    else if (constraint?.accept(token)) this.end = { reason: 'stop', emitHeld: true };
    else if (sequence.outputLength >= sequence.outputLimit) this.end = { reason: 'length', emitHeld: true };
    return this.end === undefined;
  }

  /** Emits what was withheld and the last event. */
  finish(): void {
    const { sequence, end } = this;
    if (!end) throw new Error('this stream goes on');
    if (end.emitHeld) {
      const last = this.stops.push(this.decoder.flush());
      const text = last.text + (last.stop === undefined ? this.stops.flush() : '');
      if (text.length > 0 || this.pendingTokens.length > 0) this.emit(text);
    }
    this.events.push({
      type: 'done',
      finishReason: end.reason,
      stop: end.stop,
      usage: {
        promptTokens: sequence.promptLength + sequence.forcedLength,
        completionTokens: sequence.outputLength - sequence.forcedLength,
        cachedTokens: sequence.cachedTokens ?? 0,
      },
      ...(this.forcedLogprobs.length > 0 && { forcedLogprobs: this.forcedLogprobs }),
    });
    this.events.end();
  }

  private emit(text: string): void {
    const logprobs = this.sequence.request.logprobs === undefined ? undefined : this.pendingLogprobs;
    this.events.push({ type: 'token', text, tokens: this.pendingTokens, logprobs });
    this.pendingTokens = [];
    this.pendingLogprobs = [];
  }
}

function logprobsOf(result: StepResult, row: number, wanted: number): PositionLogprobs {
  const top = Array.from({ length: Math.min(wanted, result.top) }, (_, i) => ({
    token: result.topTokens[row * result.top + i]!,
    logprob: result.topLogprobs[row * result.top + i]!,
  }));
  return { token: result.tokens[row]!, logprob: result.logprobs[row]!, top };
}
