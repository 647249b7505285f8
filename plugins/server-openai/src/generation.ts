import type { Ticket } from './http/admission.js';
import type { GenerateEvent, GenerateRequest, ServedModel, TokenUsage } from './models.js';
import type { Usage } from './schemas/usage.js';

/** Called for each event of a sequence, in order within the sequence; the next one waits for it. */
export type EventSink = (sequence: number, event: GenerateEvent) => void | Promise<void>;

/**
 * The sequences of one HTTP request, generated side by side. When one fails, or the signal aborts, all of them end:
 * after `run` has settled none is left in the engine.
 */
export class Generation {
  private readonly abort = new AbortController();
  private readonly streams: AsyncIterator<GenerateEvent>[];
  private readonly firsts: Promise<IteratorResult<GenerateEvent>>[];

  /** Starts every sequence. The requests' own signals are replaced by one that also follows `signal`. */
  constructor(
    model: ServedModel,
    requests: readonly Omit<GenerateRequest, 'signal'>[],
    signal: AbortSignal,
    private readonly ticket: Ticket,
  ) {
    const combined = AbortSignal.any([signal, this.abort.signal]);
    this.streams = requests.map((request) => model.generate({ ...request, signal: combined })[Symbol.asyncIterator]());
    this.firsts = this.streams.map(async (stream) => {
      const first = await stream.next();
      ticket.started();
      return first;
    });
    for (const first of this.firsts) first.catch(() => {});
  }

  /** Resolves when the engine has begun to answer: the first event of any sequence; rejects when one fails before. */
  async admitted(): Promise<void> {
    try {
      await Promise.race(this.firsts);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Hands every event to the sink until all sequences are done. */
  async run(sink: EventSink): Promise<void> {
    const outcomes = await Promise.allSettled(
      this.streams.map(async (stream, sequence) => {
        try {
          for (let next = await this.firsts[sequence]!; !next.done; next = await stream.next()) {
            await sink(sequence, next.value);
          }
        } catch (error) {
          this.abort.abort();
          throw error;
        }
      }),
    );
    await this.stop();
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    // The first to fail made the others abort; theirs are consequences, but its order in the list is arbitrary.
    const cause = outcomes.find((outcome) => outcome.status === 'rejected' && !isAbort(outcome.reason)) ?? failure;
    if (cause?.status === 'rejected') throw cause.reason;
  }

  /** Ends what still runs. */
  private async stop(): Promise<void> {
    this.abort.abort();
    await Promise.allSettled(this.streams.map((stream) => stream.return?.()));
    this.ticket.release();
  }
}

/** Whether an error only says that its work was no longer wanted. */
export function isAbort(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'AbortError' || (error as NodeJS.ErrnoException).code === 'LF_BACKEND_CANCELLED';
}

/**
 * Usage of a request: each prompt counts once, however many choices continue it.
 * @param usages one per sequence, in order: `choices` sequences for each prompt
 */
export function totalUsage(usages: readonly TokenUsage[], choices: number): Usage {
  let prompt = 0;
  let cached = 0;
  let completion = 0;
  usages.forEach((usage, sequence) => {
    completion += usage.completionTokens;
    if (sequence % choices !== 0) return;
    prompt += usage.promptTokens;
    cached += usage.cachedTokens ?? 0;
  });
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}
