import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { apiErrors } from '../http/api-error.js';
import type { ModelInfo } from '../models.js';
import { named } from '../schemas/registry.js';
import { errorSchema } from '../schemas/usage.js';
import type { ServerServices } from '../services.js';

export const modelSchema = named(
  'Model',
  z.object({
    id: z.string(),
    object: z.literal('model'),
    created: z.int(),
    owned_by: z.string(),
    parent: z.string().optional().describe("the base model's id, for an adapter"),
  }),
);

/** A model as the API shows it. */
export function describeModel(info: ModelInfo): z.output<typeof modelSchema> {
  const { id, created, ownedBy, parent } = info;
  return { id, object: 'model', created, owned_by: ownedBy, ...(parent !== undefined && { parent }) };
}

/** `GET /v1/models` and `GET /v1/models/{id}`. */
export function modelRoutes(app: FastifyInstance, services: ServerServices): void {
  const typed = app.withTypeProvider<ZodTypeProvider>();
  typed.get(
    '/v1/models',
    {
      config: { access: 'api' },
      schema: {
        tags: ['models'],
        summary: 'The models that requests can name',
        security: [{ bearer: [] }],
        response: { 200: z.object({ object: z.literal('list'), data: z.array(modelSchema) }), 401: errorSchema },
      },
    },
    async () => ({ object: 'list' as const, data: services.models.list().map(describeModel) }),
  );
  // Ids may hold slashes, as those of the Hugging Face Hub do.
  typed.get(
    '/v1/models/*',
    {
      config: { access: 'api' },
      schema: {
        tags: ['models'],
        summary: 'One model',
        security: [{ bearer: [] }],
        params: z.object({ '*': z.string().describe('the id') }),
        response: { 200: modelSchema, 401: errorSchema, 404: errorSchema },
      },
    },
    async (request) => {
      const id = request.params['*'];
      const known = services.models.list();
      const info = known.find((model) => model.id === id);
      if (!info)
        throw apiErrors.modelNotFound(
          id,
          known.map((model) => model.id),
        );
      return describeModel(info);
    },
  );
}
