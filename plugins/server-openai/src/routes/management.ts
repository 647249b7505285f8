import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { named } from '../schemas/registry.js';
import type { ServerServices } from '../services.js';

const healthSchema = named(
  'Health',
  z.object({
    status: z.enum(['healthy', 'degraded', 'unhealthy']),
    components: z.array(z.object({ name: z.string(), status: z.string(), latency_ms: z.number() })),
    version: z.string(),
    uptime_seconds: z.int(),
  }),
);

type Health = z.output<typeof healthSchema>;

const probeSchema = z.object({ status: z.string() });

/** Health as SyRS 6.1.3 shows it: a component for the server itself and one for each model. */
async function health(services: ServerServices): Promise<Health> {
  const components: Health['components'] = [];
  const measure = async (name: string, check: () => Promise<string>) => {
    const start = performance.now();
    let status: string;
    try {
      status = await check();
    } catch {
      status = 'unhealthy';
    }
    components.push({ name, status, latency_ms: Math.round((performance.now() - start) * 1000) / 1000 });
  };
  // A turn of the event loop: what every request waits for at least.
  await measure('server', async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return services.state() === 'serving' ? 'healthy' : 'degraded';
  });
  for (const { id } of services.models.list()) {
    await measure(`model:${id}`, async () => {
      const { failure } = (await services.models.get(id)).stats();
      return failure === undefined ? 'healthy' : 'unhealthy';
    });
  }
  const models = components.filter(({ name }) => name.startsWith('model:'));
  const working = models.filter(({ status }) => status === 'healthy').length;
  const allHealthy = components.every(({ status }) => status === 'healthy');
  return {
    status: working === 0 ? 'unhealthy' : allHealthy ? 'healthy' : 'degraded',
    components,
    version: services.version,
    uptime_seconds: Math.floor((Date.now() - services.startedAt) / 1000),
  };
}

/** `/health`, `/livez`, `/readyz` and `/metrics`. */
export function managementRoutes(app: FastifyInstance, services: ServerServices): void {
  const typed = app.withTypeProvider<ZodTypeProvider>();
  typed.get(
    '/health',
    {
      config: { access: 'public' },
      schema: {
        tags: ['management'],
        summary: 'State of the server and its models',
        response: { 200: healthSchema, 503: healthSchema.describe('No model works') },
      },
    },
    async (_request, reply) => {
      const report = await health(services);
      return reply.code(report.status === 'unhealthy' ? 503 : 200).send(report);
    },
  );
  typed.get(
    '/livez',
    {
      config: { access: 'public' },
      schema: { tags: ['management'], summary: 'Answers while the process runs', response: { 200: probeSchema } },
    },
    async () => ({ status: 'ok' }),
  );
  typed.get(
    '/readyz',
    {
      config: { access: 'public' },
      schema: {
        tags: ['management'],
        summary: 'Whether to send requests here',
        response: { 200: probeSchema, 503: probeSchema.describe('Starting, draining, or without a model') },
      },
    },
    async (_request, reply) => {
      const state = services.state();
      if (state !== 'serving') return reply.code(503).send({ status: state });
      const report = await health(services);
      if (report.status === 'unhealthy') return reply.code(503).send({ status: 'no model works' });
      return { status: 'ready' };
    },
  );
  typed.get(
    '/metrics',
    {
      config: { access: 'api' },
      schema: {
        tags: ['management'],
        summary: 'Prometheus metrics',
        security: [{ bearer: [] }],
        response: { 200: { content: { 'text/plain': { schema: z.string() } } } },
      },
    },
    async (_request, reply) => {
      const { registry } = services.metrics;
      return reply
        .type(registry.contentType)
        .serializer((text: unknown) => String(text))
        .send(await registry.metrics());
    },
  );
}
