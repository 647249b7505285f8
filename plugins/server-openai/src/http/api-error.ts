/** The body that OpenAI's clients read errors from. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

interface ErrorFields {
  readonly status: number;
  readonly type: string;
  readonly message: string;
  readonly param?: string;
  readonly code?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that is not the one asked for: thrown anywhere below a route, sent in OpenAI's shape. */
export class ApiError extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorBody;

  constructor(fields: ErrorFields, options?: ErrorOptions) {
    super(fields.message, options);
    this.name = 'ApiError';
    this.status = fields.status;
    this.headers = fields.headers ?? {};
    this.body = {
      error: {
        message: fields.message,
        type: fields.type,
        param: fields.param ?? null,
        code: fields.code ?? null,
      },
    };
  }
}

const invalid = 'invalid_request_error';

/** Clients read both: whole seconds, and milliseconds where they know it. */
function retryHeaders(seconds: number): Record<string, string> {
  return {
    'retry-after': String(Math.max(1, Math.ceil(seconds))),
    'retry-after-ms': String(Math.ceil(seconds * 1000)),
  };
}

/** Every error that the API answers with, in one place. */
export const apiErrors = {
  invalidRequest: (message: string, param?: string, code?: string) =>
    new ApiError({ status: 400, type: invalid, message, param, code }),

  unsupported: (param: string, message: string) =>
    new ApiError({ status: 400, type: invalid, message, param, code: 'unsupported_parameter' }),

  contextLengthExceeded: (limit: number, prompt: number, completion: number, param: string) =>
    new ApiError({
      status: 400,
      type: invalid,
      message:
        completion > 0
          ? `This model's maximum context length is ${limit} tokens. However, you requested ${prompt + completion} tokens (${prompt} in the ${param}, ${completion} in the completion). Please reduce the length of the ${param} or completion.`
          : `This model's maximum context length is ${limit} tokens. However, your ${param} resulted in ${prompt} tokens. Please reduce the length of the ${param}.`,
      param,
      code: 'context_length_exceeded',
    }),

  textTooLong: (limit: number, leastTokens: number, param: string) =>
    new ApiError({
      status: 400,
      type: invalid,
      message: `This model's maximum context length is ${limit} tokens. However, your ${param} has at least ${leastTokens} tokens. Please reduce the length of the ${param}.`,
      param,
      code: 'context_length_exceeded',
    }),

  missingKey: () =>
    new ApiError({
      status: 401,
      type: invalid,
      message: 'You did not provide an API key. Send it in an Authorization header: "Authorization: Bearer YOUR_KEY".',
      code: 'missing_api_key',
      headers: { 'www-authenticate': 'Bearer' },
    }),

  wrongKey: () =>
    new ApiError({
      status: 401,
      type: invalid,
      message: 'Incorrect API key provided.',
      code: 'invalid_api_key',
      headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
    }),

  adminOnly: () =>
    new ApiError({
      status: 403,
      type: 'permission_error',
      message: 'This route needs an admin key.',
      code: 'admin_key_required',
    }),

  adminDisabled: () =>
    new ApiError({
      status: 403,
      type: 'permission_error',
      message: 'Administrative routes are off: the server was started without adminKeys.',
      code: 'admin_disabled',
    }),

  foreignHost: (host: string) =>
    new ApiError({
      status: 403,
      type: 'permission_error',
      message: `The Host header ${JSON.stringify(host)} is not a name of this machine. A server without API keys answers only requests addressed to localhost; set apiKeys, or list the name under allowedHosts.`,
      code: 'host_not_allowed',
    }),

  modelNotFound: (model: string, known: readonly string[], param = 'model') =>
    new ApiError({
      status: 404,
      type: invalid,
      message: `The model ${JSON.stringify(model)} does not exist. ${known.length > 0 ? `This server has: ${known.join(', ')}.` : 'This server has no model loaded.'}`,
      param,
      code: 'model_not_found',
    }),

  unknownRoute: (method: string, path: string) =>
    new ApiError({
      status: 404,
      type: invalid,
      message: `Unknown request URL: ${method} ${path}. GET /docs lists the routes of this server.`,
      code: 'unknown_url',
    }),

  bodyTooLarge: (limit: number) =>
    new ApiError({
      status: 413,
      type: invalid,
      message: `The request body is larger than ${limit} bytes.`,
      code: 'request_too_large',
    }),

  unsupportedMediaType: () =>
    new ApiError({
      status: 415,
      type: invalid,
      message: 'Send the body as JSON, with the header "Content-Type: application/json".',
      code: 'unsupported_media_type',
    }),

  queueFull: (what: string, retrySeconds: number) =>
    new ApiError({
      status: 429,
      type: 'rate_limit_error',
      message: `The server's queue is full (${what}). Try again in about ${Math.max(1, Math.ceil(retrySeconds))} s.`,
      code: 'queue_full',
      headers: retryHeaders(retrySeconds),
    }),

  internal: (requestId: string, cause?: unknown) =>
    new ApiError(
      {
        status: 500,
        type: 'server_error',
        message: `The server had an error while processing your request. Its log has the details under request ${requestId}.`,
        code: 'internal_error',
      },
      { cause },
    ),

  unavailable: (message: string, code: string, retrySeconds: number, cause?: unknown) =>
    new ApiError({ status: 503, type: 'server_error', message, code, headers: retryHeaders(retrySeconds) }, { cause }),

  cancelled: (retrySeconds: number) =>
    new ApiError({
      status: 503,
      type: 'server_error',
      message: 'The request was cancelled because the server is shutting down.',
      code: 'server_draining',
      headers: retryHeaders(retrySeconds),
    }),

  starting: (retrySeconds: number) =>
    new ApiError({
      status: 503,
      type: 'server_error',
      message: 'The server is starting: its models are being loaded.',
      code: 'server_starting',
      headers: retryHeaders(retrySeconds),
    }),

  draining: (retrySeconds: number) =>
    new ApiError({
      status: 503,
      type: 'server_error',
      message: 'The server is shutting down and takes no new requests.',
      code: 'server_draining',
      headers: { ...retryHeaders(retrySeconds), connection: 'close' },
    }),
};
