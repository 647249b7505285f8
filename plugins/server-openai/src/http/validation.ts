import type { FastifyRequest } from 'fastify';
import type { FastifySchemaValidationError } from 'fastify/types/schema.js';
import type { z } from 'zod';
import type { ServerLog } from '../services.js';
import { type ApiError, apiErrors } from './api-error.js';

/** Notes at debug level which fields of a body the server does not read: their names, never their values. */
export function logUnknownFields(log: ServerLog, request: FastifyRequest, schema: z.ZodObject): void {
  const unknown = Object.keys(request.body as object).filter((field) => !(field in schema.shape));
  if (unknown.length > 0) {
    log.debug({ requestId: request.id, fields: unknown.map((field) => field.slice(0, 64)) }, 'request fields ignored');
  }
}

/** The first thing wrong with a body, with its place written as clients write it: `messages[0].content`. */
export function validationError(issues: readonly FastifySchemaValidationError[]): ApiError {
  const first = issues[0];
  const path = (first?.instancePath ?? '')
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const place = path.reduce(
    (text, part) => (/^\d+$/.test(part) ? `${text}[${part}]` : text ? `${text}.${part}` : part),
    '',
  );
  const message = first?.message ?? 'the body does not match the schema';
  return apiErrors.invalidRequest(place ? `'${place}': ${message}` : `Invalid body: ${message}`, place || undefined);
}
