import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { apiErrors } from '../http/api-error.js';
import { errorSchema } from '../schemas/usage.js';
import type { ServerServices } from '../services.js';
import { loadModel } from './admin.js';

const loadSchema = z.object({
  lora_name: z.string().min(1).describe('the model name that requests use'),
  lora_path: z.string().min(1).describe("the adapter's folder on the server's disk"),
  base_model_name: z
    .string()
    .min(1)
    .nullish()
    .describe('the loaded model that it belongs to; the only one, or the one that the adapter names, when absent'),
});

const unloadSchema = z.object({ lora_name: z.string().min(1), lora_int_id: z.int().nullish() });

const answers = {
  200: { content: { 'text/plain': { schema: z.string() } } },
  400: errorSchema,
  401: errorSchema,
  403: errorSchema,
} as const;

/** `POST /v1/load_lora_adapter` and `/v1/unload_lora_adapter`, as vLLM has them; for administrators. */
export function adapterRoutes(app: FastifyInstance, services: ServerServices): void {
  const typed = app.withTypeProvider<ZodTypeProvider>();
  const options = (summary: string) => ({ tags: ['admin'], summary, security: [{ bearer: [] }] });
  typed.post(
    '/v1/load_lora_adapter',
    {
      config: { access: 'admin' },
      schema: {
        ...options('Serve an adapter beside its base model, under a name of its own'),
        body: loadSchema,
        response: answers,
      },
    },
    async (request, reply) => {
      const { lora_name: id, lora_path: path, base_model_name: named } = request.body;
      const whole = services.models.list().filter(({ parent }) => parent === undefined);
      const known = whole.map((model) => model.id);
      if (named != null && !known.includes(named)) throw apiErrors.modelNotFound(named, known, 'base_model_name');
      const base = named ?? (whole.length === 1 ? whole[0]!.id : undefined);
      await loadModel(services, { path, id, ...(base !== undefined && { base }) }, 'lora_path', request.cancel.signal);
      return reply.type('text/plain').serializer(String).send(`Success: LoRA adapter '${id}' added successfully.`);
    },
  );
  typed.post(
    '/v1/unload_lora_adapter',
    {
      config: { access: 'admin' },
      schema: {
        ...options('Take an adapter away: no new requests, and it is freed when the running ones have ended'),
        body: unloadSchema,
        response: { ...answers, 404: errorSchema },
      },
    },
    async (request, reply) => {
      const { lora_name: id } = request.body;
      const adapters = services.models.list().filter(({ parent }) => parent !== undefined);
      if (!adapters.some((adapter) => adapter.id === id)) {
        throw apiErrors.modelNotFound(
          id,
          adapters.map((adapter) => adapter.id),
          'lora_name',
        );
      }
      await services.models.unload(id);
      return reply.type('text/plain').serializer(String).send(`Success: LoRA adapter '${id}' removed successfully.`);
    },
  );
}
