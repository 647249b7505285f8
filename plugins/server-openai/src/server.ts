import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServeAnswer } from '@largeforge/core';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { listenError, serverErrors } from './errors.js';
import { type Access, AccessControl, isLocalHostHeader } from './http/access.js';
import { AdmissionQueue } from './http/admission.js';
import { type ApiError, apiErrors } from './http/api-error.js';
import { describeFailure, toApiError } from './http/failure.js';
import { Turnstile } from './http/turnstile.js';
import { ServerMetrics } from './metrics.js';
import type { ModelHost } from './models.js';
import type { ServerOptions } from './options.js';
import { adapterRoutes } from './routes/adapters.js';
import { adminRoutes } from './routes/admin.js';
import { chatRoutes } from './routes/chat.js';
import { completionRoutes } from './routes/completions.js';
import { documentPage, documentRoutes } from './routes/documents.js';
import { embeddingRoutes } from './routes/embeddings.js';
import { managementRoutes } from './routes/management.js';
import { modelRoutes } from './routes/models.js';
import type { Endpoint, ServeHooks, ServerLog, ServerServices, ServerState } from './services.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    endpoint?: Endpoint;
  }
}

export interface CreateServer {
  readonly models: ModelHost;
  readonly options: ServerOptions;
  readonly log: ServerLog;
  readonly version: string;
  readonly hooks?: ServeHooks;
}

/** nginx's status for a client that went away; only in logs and metrics, nobody is left to read it. */
const clientClosedRequest = 499;

/** Requests that begin in one turn of the event loop: some 1 ms. */
const beginsInTurn = 12;

/** The HTTP server over a set of models. `app` is there for tests (`inject`) and for plugins that add routes. */
export class OpenAiServer {
  private state: ServerState = 'starting';
  private readonly requests = new Set<AbortController>();

  private constructor(
    readonly app: FastifyInstance,
    private readonly services: ServerServices,
    private options: ServerOptions,
  ) {}

  static async create(init: CreateServer): Promise<OpenAiServer> {
    const { models, log, version, hooks, options } = init;
    const queue = new AdmissionQueue(options.limits);
    const access = new AccessControl(options);
    const app = Fastify({
      logger: false,
      bodyLimit: options.limits.bodyBytes,
      // Closing waits for the requests itself; what is left then are connections that clients keep for later.
      forceCloseConnections: true,
      // A body that trickles in for longer holds a connection for nothing.
      requestTimeout: 60_000,
      genReqId: (request) => requestId(request.headers['x-request-id']),
    });
    let server: OpenAiServer;
    const services: ServerServices = {
      models,
      queue,
      access,
      log,
      version,
      metrics: new ServerMetrics(models, queue),
      ...(hooks && { hooks }),
      options: () => server.options,
      startedAt: Date.now(),
      state: () => server.state,
    };
    server = new OpenAiServer(app, services, options);
    // Only JSON: a web page can send plain text to a local port without asking, JSON it cannot.
    app.removeContentTypeParser('text/plain');
    app.setValidatorCompiler(validatorCompiler);
    app.setSerializerCompiler(serializerCompiler);
    // For plugins that count something of their own.
    app.decorate('metricsRegistry', services.metrics.registry);
    server.addRequestLifecycle();
    server.addErrors();
    await documentRoutes(app, version);
    completionRoutes(app, services);
    chatRoutes(app, services);
    embeddingRoutes(app, services);
    modelRoutes(app, services);
    managementRoutes(app, services);
    adminRoutes(app, services);
    adapterRoutes(app, services);
    await hooks?.configure(app);
    await app.ready();
    return server;
  }

  /**
   * Opens the port; requests get a 503 until `open`. Resolves with the address that clients on this machine can use.
   * Throws LF_SERVER_PORT_IN_USE, _PORT_FORBIDDEN or _ADDRESS.
   */
  async listen(): Promise<{ url: string; port: number }> {
    const { host, port: wanted } = this.options;
    try {
      await this.app.listen({ host, port: wanted });
    } catch (error) {
      throw listenError(error, host, wanted);
    }
    const address = this.app.server.address();
    const port = typeof address === 'object' && address ? address.port : wanted;
    return { url: `http://${clientHost(host)}:${port}`, port };
  }

  /** The models are there: requests are answered from now on. */
  open(): void {
    if (this.state === 'starting') this.state = 'serving';
  }

  /** Takes new keys, limits and allowed hosts at once; the address and the body limit stay as they are. */
  update(options: Pick<ServerOptions, 'apiKeys' | 'adminKeys' | 'allowedHosts' | 'limits'>): void {
    this.options = { ...this.options, ...options };
    this.services.access.replace(this.options);
    this.services.queue.replaceLimits(this.options.limits);
  }

  /** The options as they are now. */
  get currentOptions(): ServerOptions {
    return this.options;
  }

  /** Requests being answered. */
  get activeRequests(): number {
    return this.services.queue.activeRequests;
  }

  /**
   * Shuts down without dropping a request: readiness fails, new requests get a 503, running ones end (for at most
   * `drainSeconds`, then they are cancelled), the port closes.
   */
  async drain(): Promise<void> {
    this.state = 'draining';
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), this.options.limits.drainSeconds * 1000);
    });
    const outcome = await Promise.race([this.services.queue.whenIdle(), timeout]);
    clearTimeout(timer);
    if (outcome === 'late') {
      this.services.log.warn({ cancelled: this.activeRequests }, 'drain time is over; cancelling what still runs');
    }
    await this.stop();
  }

  /** Cancels every request and closes the port. */
  async stop(): Promise<void> {
    this.state = 'draining';
    for (const controller of this.requests) controller.abort();
    const deadline = performance.now() + 2000;
    while (this.requests.size > 0 && performance.now() < deadline) await sleep(5);
    await this.app.close();
  }

  private addRequestLifecycle(): void {
    const { app, services, requests } = this;
    const turnstile = new Turnstile(beginsInTurn);
    app.decorateRequest('cancel', null as unknown as AbortController);
    app.decorateRequest('startedAt', 0);
    app.decorateRequest('inference', null);

    // Deny by default: a route that does not say who may call it stops the server from starting.
    app.addHook('onRoute', (route) => {
      if (route.url === documentPage || route.url.startsWith(`${documentPage}/`)) {
        route.config = { ...route.config, access: 'public' };
      }
      if (!route.config?.access) {
        throw serverErrors.LF_SERVER_ROUTE_ACCESS({ method: String(route.method), url: route.url });
      }
    });

    app.addHook('onRequest', async (request, reply) => {
      request.startedAt = performance.now();
      request.cancel = new AbortController();
      requests.add(request.cancel);
      reply.raw.once('close', () => {
        requests.delete(request.cancel);
        // Not Fastify's onResponse: that does not run for a client that left before the end.
        const hungUp = !reply.raw.writableFinished;
        if (hungUp) request.cancel.abort();
        this.finish(request, hungUp ? clientClosedRequest : reply.raw.statusCode);
      });
      reply.header('x-request-id', request.id);
      const { access = 'public', endpoint } = request.routeOptions.config;
      if (endpoint) request.inference = newRecord(endpoint);
      if (services.access.open && !isLocalHostHeader(request.headers.host, services.options().allowedHosts)) {
        throw apiErrors.foreignHost(request.headers.host ?? '');
      }
      services.access.check(access, request.headers.authorization);
      // Before the body is read.
      if (endpoint) await turnstile.pass();
    });

    app.addHook('preValidation', async (request) => {
      const body = request.body as { model?: unknown; stream?: unknown } | null | undefined;
      if (request.inference && typeof body === 'object' && body) request.inference.stream = body.stream === true;
    });
  }

  /** Counts and logs a request: what it was, how long it took, how it ended; never what was said. */
  private finish(request: FastifyRequest, status: number): void {
    const { inference } = request;
    const durationMs = round(performance.now() - request.startedAt);
    if (inference) {
      const { endpoint, model } = inference;
      this.services.metrics.requests.inc({ endpoint, model, status: String(status) });
      if (status === 200) this.services.metrics.latency.observe({ endpoint, model }, durationMs / 1000);
      const outcome = {
        requestId: request.id,
        endpoint,
        model,
        status,
        durationMs,
        ...(inference.firstTokenMs !== undefined && { firstTokenMs: round(inference.firstTokenMs) }),
        promptTokens: inference.promptTokens,
        completionTokens: inference.completionTokens,
        stream: inference.stream,
      };
      this.services.hooks?.response(outcome).catch((error: unknown) => {
        this.services.log.warn({ requestId: request.id, ...describeFailure(error) }, 'a serve.response hook failed');
      });
      this.services.log.info({ method: request.method, path: pathOf(request), ...outcome }, 'request');
      return;
    }
    const fields = { requestId: request.id, method: request.method, path: pathOf(request), status, durationMs };
    // Probes and scrapes come every few seconds.
    if (status < 400) this.services.log.debug(fields, 'request');
    else this.services.log.info(fields, 'request');
  }

  private addErrors(): void {
    const { app, services } = this;
    app.setErrorHandler(async (error: unknown, request, reply) => {
      if (reply.raw.destroyed) return void reply.hijack();
      const answer = toApiError(error, {
        id: request.id,
        cancelled: request.cancel.signal.aborted,
        bodyLimit: app.initialConfig.bodyLimit ?? 0,
        retrySeconds: services.queue.retrySeconds,
      });
      this.logFailure(error, answer, request);
      const replaced = await this.answerOfPlugins(error, request);
      return reply
        .code(replaced?.status ?? answer.status)
        .headers(answer.headers)
        .serializer(JSON.stringify)
        .type('application/json; charset=utf-8')
        .send(replaced?.body ?? answer.body);
    });
    app.setNotFoundHandler((request) => {
      throw apiErrors.unknownRoute(request.method, pathOf(request));
    });
  }

  private logFailure(error: unknown, { status, cause }: ApiError, request: FastifyRequest): void {
    const { log } = this.services;
    const at = { requestId: request.id, path: pathOf(request) };
    if (status >= 500 && status !== 503) log.error({ ...at, ...describeFailure(error) }, 'request failed');
    else if (cause !== undefined) log.warn({ ...at, ...describeFailure(cause) }, 'request refused');
    if (status === 401 || status === 403) log.warn({ ...at, status }, 'access refused');
  }

  private async answerOfPlugins(error: unknown, request: FastifyRequest): Promise<ServeAnswer | undefined> {
    const { hooks, log } = this.services;
    const endpoint = request.inference?.endpoint;
    if (!hooks || endpoint === undefined) return undefined;
    return hooks.error({ requestId: request.id, endpoint, error }).catch((failure: unknown) => {
      log.warn({ requestId: request.id, ...describeFailure(failure) }, 'a serve.error hook failed');
      return undefined;
    });
  }
}

function newRecord(endpoint: Endpoint): NonNullable<FastifyRequest['inference']> {
  // Until the model is known to exist its name is the client's text: not a metrics label.
  return { endpoint, model: 'unknown', stream: false, promptTokens: 0, completionTokens: 0 };
}

/** A client's own request id is kept when it looks like one. */
function requestId(header: string | string[] | undefined): string {
  if (typeof header === 'string' && /^[\w.:-]{1,128}$/.test(header)) return header;
  return `req_${randomUUID().replaceAll('-', '')}`;
}

function pathOf(request: FastifyRequest): string {
  return request.url.replace(/\?.*$/s, '').slice(0, 200);
}

/** The name under which a client on this machine reaches an address. */
function clientHost(host: string): string {
  if (host === '127.0.0.1' || host === '0.0.0.0' || host === '::' || host === '::1') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
