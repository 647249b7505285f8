import { isLargeForgeError } from '@largeforge/core';
import type { FastifyError } from 'fastify';
import { ApiError, apiErrors } from './api-error.js';
import { validationError } from './validation.js';

export interface FailedRequest {
  readonly id: string;
  /** The server ended it, at shutdown. */
  readonly cancelled: boolean;
  readonly bodyLimit: number;
  /** When it is worth trying again. */
  readonly retrySeconds: number;
}

/** What a client is told of an error: its own mistakes in full, the server's failures without their details. */
export function toApiError(error: unknown, request: FailedRequest): ApiError {
  if (error instanceof ApiError) return error;
  const { code, message, statusCode = 500, validation } = error as FastifyError;
  const { retrySeconds } = request;
  if (validation) return validationError(validation);
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return apiErrors.bodyTooLarge(request.bodyLimit);
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return apiErrors.unsupportedMediaType();
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return apiErrors.invalidRequest('The request body is empty; a JSON object is expected.');
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return apiErrors.invalidRequest('The request body is not valid JSON.', undefined, 'invalid_json');
    case 'LF_BACKEND_OUT_OF_MEMORY':
    case 'LF_ENGINE_OUT_OF_MEMORY':
      return apiErrors.unavailable(
        'The device is out of memory. Try again later.',
        'out_of_memory',
        retrySeconds,
        error,
      );
    case 'LF_ENGINE_CLOSED':
    case 'LF_MODEL_UNLOADED':
    case 'LF_MODEL_NOT_SERVED':
      return apiErrors.unavailable('The model was unloaded.', 'model_unloaded', retrySeconds, error);
    case 'LF_ENGINE_CONTEXT_LENGTH':
      return apiErrors.invalidRequest(message, undefined, 'context_length_exceeded');
    case 'LF_ENGINE_INVALID_REQUEST':
      return apiErrors.invalidRequest(message);
  }
  if (request.cancelled) return apiErrors.cancelled(retrySeconds);
  // Fastify's own refusals of malformed requests; their messages name no content.
  if (statusCode >= 400 && statusCode < 500 && code?.startsWith('FST_')) {
    return new ApiError({ status: statusCode, type: 'invalid_request_error', message });
  }
  return apiErrors.internal(request.id, error);
}

/** A refusal by a plugin's serve.request tap: its message, with its own status if it carries one from 400 to 499. */
export function refusedByPlugin(error: unknown): ApiError {
  const cause = isLargeForgeError(error) && error.cause instanceof Error ? error.cause : (error as Error);
  const { statusCode } = cause as { statusCode?: unknown };
  const status = typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : 403;
  return new ApiError(
    { status, type: 'invalid_request_error', message: cause.message, code: 'request_refused' },
    { cause: error },
  );
}

/** An error as the log tells it: no request content. */
export function describeFailure(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: String(error) };
  const { code } = error as NodeJS.ErrnoException;
  return { error: error.message, ...(code && { code }), stack: error.stack };
}
