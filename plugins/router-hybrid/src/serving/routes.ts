import { isLargeForgeError } from '@largeforge/core';
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifySchema } from 'fastify';
import { z } from 'zod';
import type { ExpertRegistry } from '../experts/expert-registry.js';
import { type ExpertSettings, expertSchema } from '../experts/expert-settings.js';
import type { LiveExpert } from '../experts/live-expert.js';
import type { RoutingDesk } from './routing-desk.js';
import { traceOf } from './tracing.js';

const routeSchema = z.object({
  query: z.string().min(1),
  context: z
    .looseObject({
      conversation: z.string().optional().describe('queries of one conversation tend to stay with one expert'),
      explain: z.boolean().optional().describe('adds the strategy, the reason and the analysis to the answer'),
    })
    .optional(),
  prefer_expert: z.string().optional(),
});

const feedbackSchema = z.strictObject({
  decision_id: z.string().min(1),
  score: z.number().min(0).max(1),
  expert: z.string().nullable().optional(),
});

const nameSchema = z.object({ name: z.string() });

/** Who may call a route, and what the server's documentation says of it; the server's plugins read these fields. */
const described = (access: 'api' | 'admin', summary: string, schema: FastifySchema = {}) => ({
  config: { access } as FastifyContextConfig,
  schema: { tags: ['routing'], summary, security: [{ bearer: [] }], ...schema } as FastifySchema,
});

/** Time for the running requests of an expert to end when it is removed. */
const drainMs = 30_000;

/** An error as OpenAI's clients read it. */
export function sendError(reply: FastifyReply, status: number, code: string, message: string): FastifyReply {
  const type = status >= 500 ? 'server_error' : 'invalid_request_error';
  return reply
    .code(status)
    .serializer(JSON.stringify)
    .type('application/json; charset=utf-8')
    .send({ error: { message, type, param: null, code } });
}

/** `/route` and `/experts`: SyRS 6.1.2, and what administrators change. */
export function routerRoutes(app: FastifyInstance, desk: RoutingDesk): void {
  const { registry } = desk;
  app.post('/route', described('api', 'Decide who answers a query', { body: routeSchema }), async (request, reply) => {
    const { query, context, prefer_expert } = request.body as z.output<typeof routeSchema>;
    const routed = await desk.decide({
      query,
      prefer: prefer_expert,
      conversation: context?.conversation,
      trace: traceOf(request.headers),
    });
    const { strategy, reason, analysis } = routed.decision;
    reply.header('x-largeforge-decision', routed.id);
    return {
      expert: routed.expert,
      confidence: routed.confidence,
      alternatives: routed.alternatives,
      ...(context?.explain && { strategy, reason, analysis }),
    };
  });
  app.post(
    '/route/feedback',
    described('api', 'Tell how an answer was', { body: feedbackSchema }),
    async (request, reply) => {
      if (!desk.takesFeedback) {
        return sendError(
          reply,
          404,
          'no_feedback',
          'This server learns nothing from feedback: set decisionLog, bandit or adaptive.',
        );
      }
      desk.feedback(request.body as z.output<typeof feedbackSchema>);
      return reply.code(202).send({ accepted: true });
    },
  );
  app.get('/experts', described('api', 'The experts'), async () => ({ experts: registry.list().map(summary) }));
  app.get(
    '/experts/:name',
    described('admin', 'All about an expert', { params: nameSchema }),
    async (request, reply) => {
      const expert = registry.get((request.params as z.output<typeof nameSchema>).name);
      return expert ? details(expert) : unknownExpert(reply, (request.params as { name: string }).name);
    },
  );
  app.post('/experts', described('admin', 'Register an expert', { body: expertSchema }), async (request, reply) => {
    const settings = request.body as z.output<typeof expertSchema>;
    if (registry.get(settings.name)) {
      const message = `There is an expert ${JSON.stringify(settings.name)} already. PUT /experts/${settings.name} replaces it.`;
      return sendError(reply, 409, 'expert_exists', message);
    }
    return registered(registry, settings, reply.code(201));
  });
  app.put(
    '/experts/:name',
    described('admin', 'Register or replace an expert', { params: nameSchema, body: expertSchema }),
    async (request, reply) => {
      const settings = request.body as z.output<typeof expertSchema>;
      const { name } = request.params as z.output<typeof nameSchema>;
      if (name !== settings.name) {
        return sendError(reply, 400, 'name_mismatch', `The path names ${JSON.stringify(name)}, the body another.`);
      }
      return registered(registry, settings, reply);
    },
  );
  app.delete(
    '/experts/:name',
    described('admin', 'Remove an expert when its requests have ended', { params: nameSchema }),
    async (request, reply) => {
      const { name } = request.params as z.output<typeof nameSchema>;
      if (!registry.get(name)) return unknownExpert(reply, name);
      try {
        const running = await registry.remove(name, drainMs);
        return { name, deleted: true, running };
      } catch (error) {
        return refused(reply, error);
      }
    },
  );
}

/** Registers an expert and shows it, or says which of its rules cannot be used. */
function registered(registry: ExpertRegistry, settings: ExpertSettings, reply: FastifyReply): FastifyReply {
  try {
    return reply.send(details(registry.register(settings)));
  } catch (error) {
    return refused(reply, error);
  }
}

/** Tells why experts could not be changed. */
function refused(reply: FastifyReply, error: unknown): FastifyReply {
  if (!isLargeForgeError(error)) throw error;
  const message = `${error.message}. ${error.remedy}`;
  if (error.code === 'LF_ROUTER_KEYWORD_RULE') return sendError(reply, 400, 'invalid_keyword_rule', message);
  if (error.code === 'LF_ROUTER_EXPERTS_UNWRITABLE') return sendError(reply, 500, 'experts_not_kept', message);
  throw error;
}

/** An expert as SyRS 6.1.2 has it. */
function summary(expert: LiveExpert) {
  const { name, description, domains } = expert.settings;
  return { name, description, domains, status: expert.available ? 'active' : 'inactive', load: expert.load.load };
}

function details(expert: LiveExpert) {
  const { load, latencyMs } = expert.load;
  return {
    ...expert.settings,
    model: expert.model,
    status: expert.available ? 'active' : 'inactive',
    load,
    latency_ms: latencyMs ?? null,
    active_requests: expert.active,
    circuit: expert.breaker.state,
    problem: expert.problem ?? null,
    origin: expert.origin,
  };
}

function unknownExpert(reply: FastifyReply, name: string): FastifyReply {
  return sendError(
    reply,
    404,
    'expert_not_found',
    `There is no expert ${JSON.stringify(name)}. GET /experts lists them.`,
  );
}
