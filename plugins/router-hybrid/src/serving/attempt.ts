import { reasonOf } from '@largeforge/core';
import { keyHeaders } from '../experts/health-checks.js';
import type { LiveExpert } from '../experts/live-expert.js';
import { readEvents } from './event-reader.js';
import type { RequestTrace } from './tracing.js';

/** A request of the OpenAI API on its way to an expert. */
export interface ExpertCall {
  /** `/chat/completions` or `/completions`. */
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** The client's own Authorization; only this server's experts get it. */
  readonly authorization?: string;
  readonly requestId: string;
  /** The API of this server, where experts without a url are. */
  readonly ownUrl: string;
  readonly signal: AbortSignal;
  readonly trace?: RequestTrace | undefined;
}

/** What an expert answers: a JSON body at once, or a stream of which nothing was passed on yet. */
export type ExpertAnswer =
  | { readonly kind: 'body'; readonly status: number; readonly body: Record<string, unknown> }
  | { readonly kind: 'stream'; readonly events: AsyncIterable<string> };

/** An expert could not answer, and nothing was sent to the client: another may. */
export class ExpertFailure extends Error {
  constructor(
    readonly expert: string,
    reason: string,
    options?: ErrorOptions,
    /** It has too much to do, and is well otherwise. */
    readonly busy = false,
  ) {
    super(reason, options);
    this.name = 'ExpertFailure';
  }
}

/** Marks requests that this server sends to itself: they are not routed again. */
export const hopHeader = 'x-largeforge-hop';

/** Statuses that tell of a wrong request, whoever answers it. Others tell of the expert. */
const clientErrors = new Set([400, 413, 415, 422]);

/**
 * Sends a request to one expert. A stream resolves with its first token: until then another expert may take over.
 * Throws ExpertFailure when the expert cannot answer, and the abort's reason when the client has gone.
 * @param headers that tell the expert of the trace
 */
export async function attempt(
  expert: LiveExpert,
  call: ExpertCall,
  headers: Readonly<Record<string, string>> = {},
): Promise<ExpertAnswer> {
  const { url } = expert.settings;
  const base = (url ?? call.ownUrl).replace(/\/$/, '');
  const { timeout_ms: timeoutMs } = expert.settings;
  const fail = (reason: string, cause?: unknown, busy = false) =>
    new ExpertFailure(expert.name, reason, { cause }, busy);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), timeoutMs);
  try {
    const response = await fetch(`${base}${call.path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-request-id': call.requestId,
        ...headers,
        ...(url === undefined
          ? { [hopHeader]: '1', ...(call.authorization !== undefined && { authorization: call.authorization }) }
          : keyHeaders(expert)),
      },
      body: JSON.stringify({ ...call.body, model: expert.model }),
      signal: AbortSignal.any([call.signal, late.signal]),
    });
    const streamed = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
    if (response.ok && streamed && response.body) {
      return { kind: 'stream', events: await firstToken(expert.name, readEvents(response.body)) };
    }
    const body = (await response.json()) as Record<string, unknown>;
    if (!response.ok && !clientErrors.has(response.status)) {
      const { message } = (body.error ?? {}) as { message?: unknown };
      const reason = `it answers ${response.status}: ${String(message ?? 'no reason')}`;
      throw fail(reason, undefined, response.status === 429);
    }
    return { kind: 'body', status: response.status, body: response.ok ? { ...body, model: expert.name } : body };
  } catch (error) {
    call.signal.throwIfAborted();
    if (late.signal.aborted) throw fail(`it said nothing for ${timeoutMs} ms`, error);
    if (error instanceof ExpertFailure) throw error;
    const { cause } = error as Error;
    throw fail(reasonOf(cause instanceof Error ? cause : error), error);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a stream up to its first token, and gives it back whole. */
async function firstToken(expert: string, source: AsyncGenerator<string>): Promise<AsyncIterable<string>> {
  const held: string[] = [];
  for (;;) {
    const { value, done } = await source.next();
    if (done) throw new ExpertFailure(expert, 'its stream ended before the first token');
    held.push(value);
    if (value === '[DONE]') break;
    const event = JSON.parse(value) as StreamEvent;
    if (event.error) throw new ExpertFailure(expert, `it failed: ${event.error.message ?? 'no reason'}`);
    if (event.choices?.some(hasContent)) break;
  }
  return (async function* () {
    for (const data of held) yield named(data, expert);
    if (held.at(-1) === '[DONE]') return;
    for await (const data of source) {
      yield named(data, expert);
      if (data === '[DONE]') return;
    }
    throw new ExpertFailure(expert, 'its stream ended before its end');
  })();
}

interface StreamChoice {
  readonly text?: string;
  readonly delta?: Readonly<Record<string, unknown>>;
  readonly finish_reason?: string | null;
}

interface StreamEvent {
  readonly error?: { readonly message?: string };
  readonly choices?: readonly StreamChoice[];
}

/** Whether a chunk says something: its role alone is no token yet. */
function hasContent({ text, delta, finish_reason: finish }: StreamChoice): boolean {
  const said = Object.entries(delta ?? {}).some(([key, value]) => key !== 'role' && value != null && value !== '');
  return Boolean(text) || said || finish != null;
}

/** A chunk under the name of the expert. */
function named(data: string, expert: string): string {
  if (data === '[DONE]') return data;
  const event = JSON.parse(data) as Record<string, unknown>;
  return JSON.stringify('model' in event ? { ...event, model: expert } : event);
}
