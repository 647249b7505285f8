import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { FileStore } from '../files/file-store.js';
import { pageOf, pageQuery } from '../http/page.js';
import { described, refusals } from '../http/refusal.js';
import { hasEnded, type Job, type JobEvent, type JobRequest, jobRequest } from './job.js';
import type { JobQueue } from './job-queue.js';
import type { JobStore } from './job-store.js';

const idParams = z.object({ id: z.string() });
const jobsQuery = pageQuery(20, 100);
const eventsQuery = pageQuery(20, 1000).extend({
  stream: z.stringbool().default(false).describe('server-sent events, from the first one to the end of the job'),
});

export interface JobParts {
  readonly store: JobStore;
  readonly queue: JobQueue;
  readonly files: FileStore;
  readonly bases: Readonly<Record<string, string>>;
}

/** `/v1/fine_tuning/jobs`, as OpenAI has them; for administrators. */
export function jobRoutes(app: FastifyInstance, { store, queue, files, bases }: JobParts): void {
  const path = '/v1/fine_tuning/jobs';
  const about = (summary: string, schema = {}) => described('fine-tuning', summary, schema);
  const jobOf = (request: FastifyRequest) => store.get((request.params as z.output<typeof idParams>).id);
  app.post(path, about('Fine-tune a model', { body: jobRequest }), async (request) => {
    return queue.submit(createJob(request.body as JobRequest, files, bases));
  });
  app.get(path, about('The jobs, the newest first', { querystring: jobsQuery }), async (request) => {
    return pageOf(
      store.list().map(({ job }) => job),
      request.query as z.output<typeof jobsQuery>,
    );
  });
  app.get(`${path}/:id`, about('One job', { params: idParams }), async (request) => jobOf(request).job);
  app.post(
    `${path}/:id/cancel`,
    about('Cancel a job; its last checkpoint stays', { params: idParams }),
    async (request) => {
      return queue.cancel(jobOf(request).job.id);
    },
  );
  app.get(
    `${path}/:id/events`,
    about('What a job tells, the newest first, or as a stream', { params: idParams, querystring: eventsQuery }),
    async (request, reply) => {
      const { stream, ...page } = request.query as z.output<typeof eventsQuery>;
      const { id } = jobOf(request).job;
      if (stream) return streamEvents(store, id, request, reply);
      return pageOf(store.eventsOf(id).toReversed(), page);
    },
  );
  app.get(
    `${path}/:id/checkpoints`,
    about('The checkpoints of a job, the newest first', { params: idParams, querystring: jobsQuery }),
    async (request) => pageOf(jobOf(request).checkpoints.toReversed(), request.query as z.output<typeof jobsQuery>),
  );
}

function createJob(request: JobRequest, files: FileStore, bases: JobParts['bases']): Job {
  const { model, training_file, validation_file, method, integrations, suffix, seed, metadata } = request;
  if (!Object.hasOwn(bases, model)) throw refusals.unknownModel(model, Object.keys(bases));
  if (integrations?.length)
    throw refusals.unsupported('integrations', 'Trackers are set in the config of the server (plugin tracking).');
  const type = method?.type ?? 'supervised';
  if (type === 'reinforcement') throw refusals.unsupported('method', 'The methods are supervised and dpo.');
  for (const [param, id] of Object.entries({ training_file, validation_file })) {
    if (id == null) continue;
    const { purpose } = files.get(id, param);
    if (purpose !== 'fine-tune') throw refusals.wrongPurpose(id, purpose, param);
  }
  const { n_epochs, batch_size, learning_rate_multiplier, beta } = method?.[type]?.hyperparameters ??
    request.hyperparameters ?? { n_epochs: 'auto', batch_size: 'auto', learning_rate_multiplier: 'auto' };
  const hyperparameters = {
    n_epochs,
    batch_size,
    learning_rate_multiplier,
    ...(type === 'dpo' && { beta: beta ?? 'auto' }),
  };
  return {
    id: `ftjob-${randomBytes(12).toString('hex')}`,
    object: 'fine_tuning.job',
    model,
    created_at: Math.floor(Date.now() / 1000),
    finished_at: null,
    fine_tuned_model: null,
    organization_id: 'largeforge',
    status: 'validating_files',
    training_file,
    validation_file: validation_file ?? null,
    hyperparameters,
    method: { type, [type]: { hyperparameters } },
    user_provided_suffix: suffix ?? null,
    seed: seed ?? randomInt(2 ** 31),
    trained_tokens: null,
    estimated_finish: null,
    result_files: [],
    integrations: [],
    metadata: metadata ?? null,
    error: null,
  };
}

/** All that a job has told and tells, until it ends or the reader goes. */
async function streamEvents(store: JobStore, id: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  reply.hijack();
  const { raw } = reply;
  const waiting: JobEvent[] = [...store.eventsOf(id)];
  let wake = () => {};
  const stop = store.listen(id, (event) => {
    waiting.push(event);
    wake();
  });
  raw.on('close', () => wake());
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-request-id': request.id,
  });
  const heartbeat = setInterval(() => raw.write(': keep-alive\n\n'), 15_000);
  try {
    while (!raw.destroyed) {
      const event = waiting.shift();
      if (event) {
        if (!raw.write(`data: ${JSON.stringify(event)}\n\n`))
          await Promise.race([once(raw, 'drain'), once(raw, 'close')]);
      } else if (hasEnded(store.get(id).job)) break;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    if (!raw.destroyed) raw.end('data: [DONE]\n\n');
  } finally {
    stop();
    clearInterval(heartbeat);
  }
}
