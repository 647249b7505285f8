import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isLargeForgeError } from '@largeforge/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { LiveExpert } from '../experts/live-expert.js';
import { ExpertFailure, hopHeader } from './attempt.js';
import { type Dispatched, dispatch } from './dispatch.js';
import type { RouterMetrics } from './metrics.js';
import { sendError } from './routes.js';
import type { Routed, RoutingDesk } from './routing-desk.js';
import { traceOf } from './tracing.js';

/** The model name that means "whichever expert fits". */
export const autoModel = 'auto';

const paths = new Map([
  ['/v1/chat/completions', '/chat/completions'],
  ['/v1/completions', '/completions'],
]);

interface CompletionBody extends Record<string, unknown> {
  readonly model: string;
  readonly messages?: readonly { readonly role: string; readonly content?: unknown }[];
  readonly prompt?: unknown;
  readonly stream?: boolean;
  readonly user?: string;
}

/** What the server adds to a request. */
interface ServedRequest extends FastifyRequest {
  readonly cancel: AbortController;
  inference: unknown;
}

/**
 * Answers completions and chat completions whose model is `auto`, or the name of an expert: the request goes to the
 * expert, over HTTP, and its answer comes back under the expert's name, with the header `x-largeforge-expert`. All other
 * models stay with the server.
 */
export function routedCompletions(app: FastifyInstance, desk: RoutingDesk, metrics?: RouterMetrics): void {
  app.addHook('preHandler', async (request, reply) => {
    const path = paths.get(request.routeOptions.url ?? '');
    const body = request.body as CompletionBody | undefined;
    if (path === undefined || !body || request.headers[hopHeader] !== undefined) return;
    const named = desk.registry.get(body.model);
    // An expert of this server whose model has its name needs no detour.
    if (body.model !== autoModel && (!named || isPlainModel(named))) return;
    // The expert's own server counts the request; here it is the router's.
    (request as ServedRequest).inference = null;
    const trace = traceOf(request.headers);
    const routed = body.model === autoModel ? await desk.decide({ ...routingOf(body, request), trace }) : undefined;
    const chain = routed ? desk.chain(routed) : [named!.name, ...named!.settings.fallback];
    if (chain.length === 0) {
      const message = 'No expert is confident enough for this query, and there is no default expert.';
      return sendError(reply, 404, 'no_expert', message);
    }
    const { address, port } = app.server.address() as AddressInfo;
    const host = address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address;
    const { authorization } = request.headers;
    try {
      const call = {
        path,
        body,
        ...(authorization !== undefined && { authorization }),
        requestId: request.id,
        trace,
        ownUrl: `http://${host.includes(':') ? `[${host}]` : host}:${port}/v1`,
        signal: (request as ServedRequest).cancel.signal,
      };
      const dispatched = await dispatch(desk.registry, chain, call, ({ expert }) => metrics?.failures.inc({ expert }));
      const { expert } = dispatched;
      const { outcome, tokens } = await pass(dispatched, routed, reply);
      metrics?.requests.inc({ expert, outcome });
      if (tokens !== undefined) metrics?.used(expert, tokens, desk.registry.get(expert)?.settings.cost);
      return reply;
    } catch (error) {
      if (!isLargeForgeError(error) || error.code !== 'LF_ROUTER_NO_ANSWER') throw error;
      reply.header('retry-after', '1');
      return sendError(reply, 503, 'no_expert_available', error.message);
    }
  });
}

/** Whether an expert is a model of this server under its own name. */
function isPlainModel({ settings, model, name }: LiveExpert): boolean {
  return settings.url === undefined && settings.aggregate === undefined && model === name;
}

interface Passed {
  readonly outcome: 'complete' | 'broken' | 'abandoned';
  /** Of prompt and answer, where the answer tells. */
  readonly tokens: number | undefined;
}

/** Sends an expert's answer to the client. */
async function pass(
  { expert, answer, end }: Dispatched,
  routed: Routed | undefined,
  reply: FastifyReply,
): Promise<Passed> {
  const headers = {
    'x-largeforge-expert': expert,
    ...(routed && { 'x-largeforge-decision': routed.id, 'x-largeforge-confidence': routed.confidence.toFixed(4) }),
  };
  if (answer.kind === 'body') {
    end('complete');
    reply.code(answer.status).headers(headers).serializer(JSON.stringify).type('application/json; charset=utf-8');
    void reply.send(answer.body);
    return { outcome: 'complete', tokens: tokensOf(answer.body) };
  }
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
  });
  let outcome: Passed['outcome'] = 'complete';
  let tokens: number | undefined;
  try {
    for await (const data of answer.events) {
      // The usage comes with the last chunk, and only to clients that asked for it.
      if (data.includes('"usage":{')) tokens = tokensOf(JSON.parse(data));
      await write(raw, `data: ${data}\n\n`);
    }
  } catch (error) {
    outcome = raw.destroyed ? 'abandoned' : 'broken';
    if (!raw.destroyed) {
      // Tokens are out: no other expert can go on from here.
      const reason = error instanceof ExpertFailure ? error.message : 'the connection to it broke';
      const failure = {
        message: `The expert ${expert} failed: ${reason}.`,
        type: 'server_error',
        param: null,
        code: 'expert_failed',
      };
      raw.write(`data: ${JSON.stringify({ error: failure })}\n\ndata: [DONE]\n\n`);
    }
  } finally {
    end(outcome);
    raw.end();
  }
  return { outcome, tokens };
}

function tokensOf({ usage }: { readonly usage?: unknown }): number | undefined {
  const { total_tokens: total } = (usage ?? {}) as { total_tokens?: unknown };
  return typeof total === 'number' ? total : undefined;
}

/** Writes, and waits for room where there is none. */
async function write(raw: ServerResponse, text: string): Promise<void> {
  if (raw.destroyed) throw new Error('the client has gone');
  if (raw.write(text)) return;
  await new Promise<void>((resolve) => {
    const go = () => {
      raw.off('drain', go);
      raw.off('close', go);
      resolve();
    };
    raw.once('drain', go);
    raw.once('close', go);
  });
}

/** What of a request is routed: the last thing that the user said, and what tells the conversation. */
function routingOf(body: CompletionBody, { headers }: FastifyRequest) {
  const header = (name: string) => (typeof headers[name] === 'string' ? (headers[name] as string) : undefined);
  const messages = body.messages ?? [];
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => textOf(content));
  const prompt = Array.isArray(body.prompt) ? body.prompt[0] : body.prompt;
  const explicit = header('x-largeforge-conversation');
  // A conversation without a name is known by its user and how it began.
  const conversation = explicit ?? (said.length > 0 ? `${body.user ?? ''}\n${said[0]}` : undefined);
  return {
    query: said.at(-1) ?? (typeof prompt === 'string' ? prompt : ''),
    prefer: header('x-largeforge-prefer-expert'),
    conversation,
    begins: explicit === undefined && said.length < 2,
  };
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part: { text?: unknown }) => (typeof part.text === 'string' ? part.text : '')).join(' ');
}
