import type { ServeAnswer, ServeFailure, ServeOutcome, ServeRequest } from '@largeforge/core';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { AccessControl } from './http/access.js';
import type { AdmissionQueue } from './http/admission.js';
import type { ServerMetrics } from './metrics.js';
import type { ModelHost } from './models.js';
import type { ServerOptions } from './options.js';

/** The part of a pino logger that the server uses. */
export type ServerLog = Pick<FastifyBaseLogger, 'debug' | 'info' | 'warn' | 'error'>;

/** What plugins may do to a server and its requests; the serve step connects these to the kernel's hooks. */
export interface ServeHooks {
  /** The server exists and does not listen yet: routes may be added. */
  configure(app: FastifyInstance): Promise<void>;
  /** May replace the body, or throw to refuse the request. */
  request(call: ServeRequest): Promise<ServeRequest>;
  /** Told of every answer. */
  response(outcome: ServeOutcome): Promise<void>;
  /** May answer instead of the error. */
  error(failure: ServeFailure): Promise<ServeAnswer | undefined>;
}

export type Endpoint = 'completions' | 'chat' | 'embeddings';

/** starting: the port is open, models are being loaded. */
export type ServerState = 'starting' | 'serving' | 'draining';

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
  readonly state: () => ServerState;
}
