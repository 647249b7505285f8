import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { apiErrors } from '../http/api-error.js';
import { findModel } from '../inference.js';
import type { ServedModel } from '../models.js';
import {
  type EmbeddingRequest,
  type EmbeddingResponse,
  embeddingRequestSchema,
  embeddingResponseSchema,
} from '../schemas/embeddings.js';
import { errorResponses } from '../schemas/usage.js';
import type { ServerServices } from '../services.js';
import { readTexts } from '../texts.js';
import { readBody } from './read-body.js';

/** `POST /v1/embeddings`. */
export function embeddingRoutes(app: FastifyInstance, services: ServerServices): void {
  app.withTypeProvider<ZodTypeProvider>().route({
    method: 'POST',
    url: '/v1/embeddings',
    config: { access: 'api', endpoint: 'embeddings' },
    schema: {
      tags: ['inference'],
      summary: 'Turn texts into vectors',
      description:
        'Sentence encoders give the vectors that they were made for; a decoder gives the mean of its last hidden states. ' +
        'Vectors have length 1, unless the encoder was made otherwise.',
      security: [{ bearer: [] }],
      body: embeddingRequestSchema,
      response: { 200: embeddingResponseSchema, ...errorResponses },
    },
    handler: async (request) => {
      const body = await readBody(services, request, 'embeddings', embeddingRequestSchema);
      return answer(services, request, await findModel(services, request, body.model), body);
    },
  });
}

async function answer(
  services: ServerServices,
  request: FastifyRequest,
  model: ServedModel,
  body: EmbeddingRequest,
): Promise<EmbeddingResponse> {
  const { embedding } = model;
  const id = JSON.stringify(model.id);
  if (!embedding)
    throw apiErrors.invalidRequest(`The model ${id} gives no embeddings.`, 'model', 'model_not_supported');
  if (body.dimensions != null && body.dimensions !== embedding.size) {
    const message = `The vectors of ${id} have ${embedding.size} dimensions; it was not trained to give fewer.`;
    throw apiErrors.unsupported('dimensions', message);
  }
  const texts = await readTexts(model, body.input, 'input');
  for (const { tokens } of texts) {
    if (tokens.length > model.contextLength) {
      throw apiErrors.contextLengthExceeded(model.contextLength, tokens.length, 0, 'input');
    }
  }
  const promptTokens = texts.reduce((sum, { tokens }) => sum + tokens.length, 0);
  if (request.inference) request.inference.promptTokens = promptTokens;
  services.metrics.promptTokens.inc({ model: model.id }, promptTokens);
  const ticket = services.queue.enter(1, promptTokens);
  try {
    ticket.started();
    const { signal } = request.cancel;
    const vectors = await embedding.embed(
      texts.map(({ tokens }) => tokens),
      signal,
    );
    return {
      object: 'list',
      data: vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: body.encoding_format === 'base64' ? base64(vector) : Array.from(vector),
      })),
      model: body.model,
      usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    };
  } finally {
    ticket.release();
  }
}

function base64({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}
