import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { apiErrors } from '../http/api-error.js';
import type { ModelInfo, ModelSpec } from '../models.js';
import { speculationSchema, weightsSchema } from '../options.js';
import { errorSchema } from '../schemas/usage.js';
import type { ServerServices } from '../services.js';
import { describeModel, modelSchema } from './models.js';

const modelStatsSchema = z.object({
  id: z.string(),
  running: z.int(),
  waiting: z.int(),
  cache_usage: z.number().nullable(),
  device: z.string().nullable(),
  device_memory_used_bytes: z.number().nullable(),
  failure: z.string().nullable(),
});

const statsSchema = z.object({
  state: z.enum(['starting', 'serving', 'draining']),
  active_requests: z.int(),
  queued_requests: z.int(),
  queued_tokens: z.int(),
  models: z.array(modelStatsSchema),
});

const refusals = { 401: errorSchema, 403: errorSchema };
const security = [{ bearer: [] }];

/** Loads a model; what the loader complains of is the caller's mistake, and a 400 that names the field of the path. */
export async function loadModel(
  { models }: ServerServices,
  spec: ModelSpec,
  param: string,
  signal: AbortSignal,
): Promise<ModelInfo> {
  try {
    return await models.load(spec, signal);
  } catch (error) {
    const remedy = (error as { remedy?: string }).remedy;
    const message = error instanceof Error ? error.message : String(error);
    throw apiErrors.invalidRequest(remedy ? `${message} ${remedy}` : message, param, 'model_load_failed');
  }
}

/** Routes that change or reveal more than a client of the API may. */
export function adminRoutes(app: FastifyInstance, services: ServerServices): void {
  const typed = app.withTypeProvider<ZodTypeProvider>();
  typed.get(
    '/admin/stats',
    {
      config: { access: 'admin' },
      schema: {
        tags: ['admin'],
        summary: 'Queue and engine figures',
        security,
        response: { 200: statsSchema, ...refusals },
      },
    },
    async () => {
      const { queuedRequests, queuedTokens } = services.queue.state;
      const models: z.output<typeof modelStatsSchema>[] = [];
      for (const { id } of services.models.list()) {
        const stats = (await services.models.get(id)).stats();
        models.push({
          id,
          running: stats.running,
          waiting: stats.waiting,
          cache_usage: stats.cacheUsage ?? null,
          device: stats.device?.name ?? null,
          device_memory_used_bytes: stats.device?.memoryUsedBytes ?? null,
          failure: stats.failure ?? null,
        });
      }
      return {
        state: services.state(),
        active_requests: services.queue.activeRequests,
        queued_requests: queuedRequests,
        queued_tokens: queuedTokens,
        models,
      };
    },
  );
  typed.post(
    '/admin/models',
    {
      config: { access: 'admin' },
      schema: {
        tags: ['admin'],
        summary: 'Load a model',
        security,
        body: z.strictObject({
          path: z.string().min(1).describe("a folder, a GGUF file or an adapter's folder on the server's disk"),
          id: z.string().min(1).optional().describe('the name that requests use; from the path when absent'),
          weights: weightsSchema.optional(),
          base: z.string().min(1).optional().describe('for an adapter: the id of the loaded model it belongs to'),
          speculation: speculationSchema.optional(),
        }),
        response: { 201: modelSchema, 400: errorSchema, ...refusals },
      },
    },
    async (request, reply) => {
      const info = await loadModel(services, request.body, 'path', request.cancel.signal);
      return reply.code(201).send(describeModel(info));
    },
  );
  typed.delete(
    '/admin/models/*',
    {
      config: { access: 'admin' },
      schema: {
        tags: ['admin'],
        summary: 'Unload a model',
        security,
        params: z.object({ '*': z.string().describe('the id') }),
        response: { 200: z.object({ id: z.string(), deleted: z.literal(true) }), 404: errorSchema, ...refusals },
      },
    },
    async (request) => {
      const id = request.params['*'];
      const known = services.models.list().map((model) => model.id);
      if (!known.includes(id)) throw apiErrors.modelNotFound(id, known);
      await services.models.unload(id);
      return { id, deleted: true as const };
    },
  );
}
