import type { FastifyReply, FastifyRequest } from 'fastify';
import { Generation } from './generation.js';
import { apiErrors } from './http/api-error.js';
import { EventStream, ReaderGone } from './http/event-stream.js';
import { describeFailure } from './http/failure.js';
import type { GenerateEvent, GenerateRequest, ServedModel } from './models.js';
import type { Endpoint, ServerServices } from './services.js';

/** What is known of a request while it is answered; the request log and the metrics are written from it. */
export interface InferenceRecord {
  readonly endpoint: Endpoint;
  model: string;
  stream: boolean;
  promptTokens: number;
  completionTokens: number;
  firstTokenMs?: number;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Aborts when the client hangs up. */
    cancel: AbortController;
    startedAt: number;
    inference: InferenceRecord | null;
  }
}

/** Loading takes seconds; nobody knows how many. */
const startRetrySeconds = 2;

/** The model of a request; an id that is not served is a 404. */
export async function findModel(services: ServerServices, request: FastifyRequest, id: string): Promise<ServedModel> {
  const state = services.state();
  if (state === 'draining') throw apiErrors.draining(services.options().limits.drainSeconds);
  if (state === 'starting') throw apiErrors.starting(startRetrySeconds);
  const known = services.models.list().map((model) => model.id);
  if (!known.includes(id)) throw apiErrors.modelNotFound(id, known);
  if (request.inference) request.inference.model = id;
  return services.models.get(id);
}

/** The model of a request for text; a 400 when it generates none. */
export async function findGenerator(
  services: ServerServices,
  request: FastifyRequest,
  id: string,
): Promise<ServedModel> {
  const model = await findModel(services, request, id);
  if (model.generates !== false) return model;
  const message = `The model ${JSON.stringify(id)} gives embeddings and generates no text. Use /v1/embeddings.`;
  throw apiErrors.invalidRequest(message, 'model', 'model_not_supported');
}

/** Refuses a format where the model cannot be held to one. */
export function checkFormat(model: ServedModel, { param }: { readonly param: string }): void {
  if (model.constrains) return;
  throw apiErrors.unsupported(param, `The model ${JSON.stringify(model.id)} cannot be held to a format.`);
}

/**
 * How many tokens a sequence may generate. What the request asks for must fit beside the prompt; the default is cut to
 * what is left.
 */
export function completionBudget(
  model: ServedModel,
  promptTokens: number,
  asked: number | null | undefined,
  fallback: number,
  param: string,
): number {
  const left = model.contextLength - promptTokens;
  if (left < 1) throw apiErrors.contextLengthExceeded(model.contextLength, promptTokens, 0, param);
  if (asked != null && asked > left) {
    throw apiErrors.contextLengthExceeded(model.contextLength, promptTokens, asked, param);
  }
  return asked ?? Math.min(fallback, left);
}

/**
 * Queues a request's sequences and waits until the engine has begun to answer. Nothing of the response is sent before
 * that, so that a refusal keeps its status and the client can try again.
 * @param formatParam the field that gave the sequences their format, for the refusal of a wrong one
 */
export async function begin(
  services: ServerServices,
  request: FastifyRequest,
  reply: FastifyReply,
  model: ServedModel,
  sequences: readonly Omit<GenerateRequest, 'signal'>[],
  choices: number,
  formatParam = 'response_format',
): Promise<Generation> {
  const lengthOf = ({ promptTokens, forced }: Omit<GenerateRequest, 'signal'>) =>
    promptTokens.length + (forced?.length ?? 0);
  const tokens = sequences.reduce((sum, sequence) => sum + lengthOf(sequence) + sequence.maxTokens, 0);
  const ticket = services.queue.enter(sequences.length, tokens);
  reply.headers(rateLimitHeaders(services));
  const prompts = sequences.filter((_, index) => index % choices === 0);
  const promptTokens = prompts.reduce((sum, sequence) => sum + lengthOf(sequence), 0);
  if (request.inference) request.inference.promptTokens = promptTokens;
  services.metrics.promptTokens.inc({ model: model.id }, promptTokens);
  let generation: Generation;
  try {
    generation = new Generation(model, sequences, request.cancel.signal, ticket);
  } catch (error) {
    ticket.release();
    throw error;
  }
  try {
    await generation.admitted();
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'LF_ENGINE_GRAMMAR') throw error;
    throw apiErrors.invalidRequest((error as Error).message, formatParam, 'invalid_format');
  }
  return generation;
}

/** Runs a generation to its end, keeping the request's figures up to date. */
export async function consume(
  services: ServerServices,
  request: FastifyRequest,
  generation: Generation,
  sink: (sequence: number, event: GenerateEvent) => void | Promise<void>,
): Promise<void> {
  const counted = new Map<number, number>();
  const record = request.inference;
  const count = (sequence: number, tokens: number) => {
    if (tokens <= 0 || !record) return;
    counted.set(sequence, (counted.get(sequence) ?? 0) + tokens);
    record.completionTokens += tokens;
    services.metrics.generatedTokens.inc({ model: record.model }, tokens);
  };
  await generation.run((sequence, event) => {
    if (record && record.firstTokenMs === undefined) {
      record.firstTokenMs = performance.now() - request.startedAt;
      const labels = { endpoint: record.endpoint, model: record.model };
      services.metrics.firstToken.observe(labels, record.firstTokenMs / 1000);
    }
    if (event.type === 'token') count(sequence, event.tokens.length);
    // Tokens that gave no text, such as the end of the text, come only with the last event's total.
    else count(sequence, event.usage.completionTokens - (counted.get(sequence) ?? 0));
    return sink(sequence, event);
  });
}

/**
 * Sends a generation as server-sent events. `produce` sends the chunks; when it fails an error event takes the place
 * of the rest. The stream ends with `[DONE]` either way, unless nobody reads it.
 */
export async function stream(
  services: ServerServices,
  request: FastifyRequest,
  reply: FastifyReply,
  produce: (events: EventStream) => Promise<void>,
): Promise<void> {
  const { heartbeatSeconds, stalledReaderSeconds } = services.options().limits;
  reply.hijack();
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(reply.getHeaders())) headers[name] = String(value);
  const events = new EventStream(reply.raw, {
    headers,
    heartbeatMs: heartbeatSeconds * 1000,
    stallMs: stalledReaderSeconds * 1000,
  });
  try {
    await produce(events);
    await events.done();
  } catch (error) {
    if (error instanceof ReaderGone || reply.raw.destroyed) {
      reply.raw.destroy();
      return;
    }
    const cancelled = request.cancel.signal.aborted;
    const failure = cancelled
      ? apiErrors.cancelled(services.queue.retrySeconds)
      : apiErrors.internal(request.id, error);
    if (!cancelled) {
      services.log.error({ requestId: request.id, ...describeFailure(error) }, 'a stream failed before its end');
    }
    try {
      await events.send(failure.body);
      await events.done();
    } catch {
      reply.raw.destroy();
    }
  }
}

/** The request's place in the bounds of the queue. */
function rateLimitHeaders(services: ServerServices): Record<string, string> {
  const { limits, queuedRequests, queuedTokens, retrySeconds } = services.queue.state;
  const headers: Record<string, string> = {
    'x-ratelimit-limit-requests': String(limits.queuedRequests),
    'x-ratelimit-remaining-requests': String(Math.max(0, limits.queuedRequests - queuedRequests)),
    'x-ratelimit-limit-tokens': String(limits.queuedTokens),
    'x-ratelimit-remaining-tokens': String(Math.max(0, limits.queuedTokens - queuedTokens)),
  };
  if (queuedRequests >= limits.queuedRequests) headers['x-ratelimit-reset-requests'] = `${Math.ceil(retrySeconds)}s`;
  if (queuedTokens >= limits.queuedTokens) headers['x-ratelimit-reset-tokens'] = `${Math.ceil(retrySeconds)}s`;
  return headers;
}
