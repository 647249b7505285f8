import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { apiErrors } from '../http/api-error.js';
import { refusedByPlugin } from '../http/failure.js';
import { logUnknownFields } from '../http/validation.js';
import type { Endpoint, ServerServices } from '../services.js';

/**
 * The body of a request after the serve.request hook had its say. Throws the hook's refusal, or a 400 when a plugin made
 * something of the body that the schema does not allow.
 */
export async function readBody<Schema extends z.ZodObject>(
  services: ServerServices,
  request: FastifyRequest,
  endpoint: Endpoint,
  schema: Schema,
): Promise<z.output<Schema>> {
  const body = request.body as z.output<Schema> & { model: string };
  logUnknownFields(services.log, request, schema);
  if (!services.hooks) return body;
  const call = { requestId: request.id, endpoint, model: body.model, body };
  const changed = await services.hooks.request(call).catch((error: unknown) => {
    throw refusedByPlugin(error);
  });
  if (changed.body === body && changed.model === body.model) return body;
  const parsed = schema.safeParse({
    ...changed.body,
    model: changed.model === body.model ? changed.body.model : changed.model,
  });
  if (parsed.success) return parsed.data;
  const { path = [], message = '' } = parsed.error.issues[0] ?? {};
  throw apiErrors.invalidRequest(`A plugin changed the request to something invalid: ${path.join('.')}: ${message}`);
}
