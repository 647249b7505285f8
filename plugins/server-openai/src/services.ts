import type { FastifyBaseLogger } from 'fastify';
import type { AccessControl } from './http/access.js';
import type { AdmissionQueue } from './http/admission.js';
import type { ServerMetrics } from './metrics.js';
import type { ModelHost } from './models.js';
import type { ServerOptions } from './options.js';

/** The part of a pino logger that the server uses. */
export type ServerLog = Pick<FastifyBaseLogger, 'debug' | 'info' | 'warn' | 'error'>;

/** What plugins may do to requests; the step connects these to the kernel's serve hooks. */
export interface ServeHooks {
  /** May replace the body, or throw to refuse it. */
  request(call: ServeCall): Promise<ServeCall>;
  /** Told of every answer. */
  response(outcome: ServeOutcome): Promise<void>;
}

export interface ServeCall {
  readonly requestId: string;
  readonly endpoint: Endpoint;
  readonly model: string;
  /** The validated request body. */
  readonly body: Readonly<Record<string, unknown>>;
}

export type Endpoint = 'completions' | 'chat';

/** How a request went: figures only, no text of prompt or answer. */
export interface ServeOutcome {
  readonly requestId: string;
  readonly endpoint: Endpoint;
  readonly model: string;
  readonly status: number;
  readonly durationMs: number;
  readonly firstTokenMs?: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly stream: boolean;
}

/** What routes work with. */
export interface ServerServices {
  readonly models: ModelHost;
  readonly queue: AdmissionQueue;
  readonly metrics: ServerMetrics;
  readonly access: AccessControl;
  readonly log: ServerLog;
  readonly hooks?: ServeHooks;
  /** The options as they are now: a reload replaces them. */
  readonly options: () => ServerOptions;
  readonly version: string;
  readonly startedAt: number;
  readonly state: () => 'serving' | 'draining';
}
