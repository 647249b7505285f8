import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifySchema } from 'fastify';

/** A request that is refused, as OpenAI's clients read it. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
  ) {
    super(message);
    this.name = 'Refusal';
  }
}

/** Every refusal of these routes, in one place. */
export const refusals = {
  noFile: (id: string, param: string | null = null) =>
    new Refusal(404, 'file_not_found', `There is no file ${JSON.stringify(id)}. GET /v1/files lists them.`, param),
  noJob: (id: string) =>
    new Refusal(404, 'job_not_found', `There is no job ${JSON.stringify(id)}. GET /v1/fine_tuning/jobs lists them.`),
  fileInUse: (id: string, job: string) =>
    new Refusal(409, 'file_in_use', `The file ${id} is read by the job ${job}. Cancel the job, or wait for its end.`),
  ended: (id: string, status: string) =>
    new Refusal(400, 'job_ended', `The job ${id} cannot be cancelled: it is ${status}.`),
  wrongPurpose: (id: string, purpose: string, param: string) =>
    new Refusal(
      400,
      'invalid_purpose',
      `The file ${id} was uploaded for ${purpose}; upload it with purpose "fine-tune".`,
      param,
    ),
  unknownModel: (model: string, known: readonly string[]) =>
    new Refusal(
      404,
      'model_not_found',
      `The model ${JSON.stringify(model)} cannot be fine-tuned here; these can: ${known.join(', ')}.`,
      'model',
    ),
  unsupported: (param: string, message: string) => new Refusal(400, 'unsupported_parameter', message, param),
  badUpload: (message: string, param: string | null = null) => new Refusal(400, 'invalid_upload', message, param),
  uploadTooLarge: (limit: number) =>
    new Refusal(413, 'file_too_large', `The file is larger than ${limit} bytes.`, 'file'),
} as const;

/** Who may call a route (administrators), and what the server's documentation says of it. */
export const described = (tag: string, summary: string, schema: FastifySchema = {}) => ({
  config: { access: 'admin' } as FastifyContextConfig,
  schema: { tags: [tag], summary, security: [{ bearer: [] }], ...schema } as FastifySchema,
});

/** Sends refusals of the routes that are added to `app` as OpenAI does; other errors are the server's. */
export function sendRefusals(app: FastifyInstance): void {
  app.setErrorHandler((error: unknown, _request, reply: FastifyReply) => {
    if (!(error instanceof Refusal)) throw error;
    const { status, code, param, message } = error;
    return reply
      .code(status)
      .serializer(JSON.stringify)
      .type('application/json; charset=utf-8')
      .send({ error: { message, type: 'invalid_request_error', param, code } });
  });
}

/** Python's client says that it sends JSON where it sends nothing: that is no body, not a wrong one. */
export function allowNoBody(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else parse(request, body as string, done);
  });
}
