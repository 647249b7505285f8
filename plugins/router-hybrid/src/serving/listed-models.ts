import type { FastifyInstance } from 'fastify';
import type { ExpertRegistry } from '../experts/expert-registry.js';
import { autoModel } from './routed-completions.js';

interface Model {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
}

/** Adds `auto` and the experts that are no models of this server to `/v1/models`: clients choose from that list. */
export function listedModels(app: FastifyInstance, registry: ExpertRegistry): void {
  const created = Math.floor(Date.now() / 1000);
  const extra = (): Model[] =>
    [autoModel, ...registry.list().map(({ name }) => name)].map((id) => ({
      id,
      object: 'model',
      created,
      owned_by: 'router',
    }));
  app.addHook('preSerialization', async (request, reply, payload) => {
    if (request.routeOptions.url !== '/v1/models' || request.method !== 'GET' || reply.statusCode !== 200)
      return payload;
    const list = payload as { data: readonly Model[] };
    const known = new Set(list.data.map(({ id }) => id));
    return { ...list, data: [...list.data, ...extra().filter(({ id }) => !known.has(id))] };
  });
  app.addHook('preHandler', async (request, reply) => {
    if (request.routeOptions.url !== '/v1/models/*' || request.method !== 'GET') return;
    const id = (request.params as { '*': string })['*'];
    // A model of the server under this name is the server's to describe.
    if (id !== autoModel && registry.get(id)?.settings.url === undefined && !registry.get(id)?.settings.aggregate)
      return;
    return reply.send(extra().find((model) => model.id === id));
  });
}
