export interface ServeConfiguration {
  /** The chosen server, such as `openai`. */
  readonly server: string;
  /** The server's own object (for the OpenAI server: the Fastify instance), before it listens. */
  readonly instance: unknown;
  /** The hooks of the stage `route`, for a plugin that decides which model answers. */
  readonly route: RouteFiring;
}

/** The hooks of the stage `route`, as they are fired. */
export interface RouteFiring {
  readonly candidates: { fire(request: RouteRequest): Promise<RouteRequest> };
  readonly select: { fire(request: RouteRequest): Promise<{ readonly answer: RouteDecision } | undefined> };
  readonly decided: { fire(decision: RouteDecision): Promise<void> };
}

export interface ServeRequest {
  readonly requestId: string;
  /** Such as `chat`. */
  readonly endpoint: string;
  readonly model: string;
  /** The validated request body. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** How a request went: figures only, no text of prompt or answer. */
export interface ServeOutcome {
  readonly requestId: string;
  readonly endpoint: string;
  readonly model: string;
  readonly status: number;
  readonly durationMs: number;
  readonly firstTokenMs?: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly stream: boolean;
}

export interface ServeFailure {
  readonly requestId: string;
  readonly endpoint: string;
  readonly error: unknown;
}

/** What is sent instead of an error. */
export interface ServeAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface RouteRequest {
  readonly query: string;
  readonly candidates: readonly { readonly expert: string; readonly confidence: number }[];
}

export interface RouteDecision {
  readonly expert: string | null;
  readonly confidence: number;
  readonly alternatives: readonly { readonly expert: string; readonly confidence: number }[];
}
