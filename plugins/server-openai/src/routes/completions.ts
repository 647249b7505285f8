import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { type Generation, totalUsage } from '../generation.js';
import { apiErrors } from '../http/api-error.js';
import { begin, checkFormat, completionBudget, consume, findGenerator, stream } from '../inference.js';
import { CompletionLogprobsBuilder } from '../logprobs.js';
import type { PositionLogprobs, ServedModel, TokenUsage } from '../models.js';
import {
  type CompletionLogprobs,
  type CompletionRequest,
  type CompletionResponse,
  completionRequestSchema,
  completionResponseSchema,
} from '../schemas/completions.js';
import { requestDefaults, samplingOf, stopsOf } from '../schemas/sampling.js';
import { askedFormat } from '../schemas/structured.js';
import { errorResponses } from '../schemas/usage.js';
import type { ServerServices } from '../services.js';
import { type RequestText, readTexts } from '../texts.js';
import { readBody } from './read-body.js';

/** `POST /v1/completions`. */
export function completionRoutes(app: FastifyInstance, services: ServerServices): void {
  app.withTypeProvider<ZodTypeProvider>().route({
    method: 'POST',
    url: '/v1/completions',
    config: { access: 'api', endpoint: 'completions' },
    schema: {
      tags: ['inference'],
      summary: 'Continue a text',
      description:
        'With `stream: true` the answer is `text/event-stream`: one JSON chunk an event, `data: [DONE]` at the end.',
      security: [{ bearer: [] }],
      body: completionRequestSchema,
      response: { 200: completionResponseSchema, ...errorResponses },
    },
    handler: async (request, reply) => {
      const body = await readBody(services, request, 'completions', completionRequestSchema);
      refuseUnsupported(body);
      const model = await findGenerator(services, request, body.model);
      const call = new CompletionCall(services, request, reply, model, body);
      const generation = await call.begin();
      return body.stream ? call.stream(generation) : call.answer(generation);
    },
  });
}

function refuseUnsupported(body: CompletionRequest): void {
  if (body.suffix) {
    throw apiErrors.unsupported('suffix', 'suffix is not supported: the models of this server only continue a text.');
  }
  if (body.best_of != null && body.best_of !== (body.n ?? 1)) {
    throw apiErrors.unsupported('best_of', 'best_of is not supported. Ask for n choices with logprobs and rank them.');
  }
  if (scored(body)) {
    if (body.stream) throw apiErrors.unsupported('stream', 'echo with logprobs is not streamed.');
  } else if (body.max_tokens === 0) {
    const message = 'max_tokens is 0: only a request with echo and logprobs may ask for no new token.';
    throw apiErrors.invalidRequest(message, 'max_tokens');
  }
  if (body.stream_options && !body.stream) {
    throw apiErrors.invalidRequest('stream_options is only allowed when stream is true.', 'stream_options');
  }
}

/** Whether the log probabilities of the prompt itself are asked for. */
const scored = (body: CompletionRequest): boolean => body.echo === true && body.logprobs != null;

class CompletionCall {
  private readonly id = `cmpl-${randomUUID().replaceAll('-', '')}`;
  private readonly created = Math.floor(Date.now() / 1000);
  private readonly choices: number;
  private prompts: readonly RequestText[] = [];

  constructor(
    private readonly services: ServerServices,
    private readonly request: FastifyRequest,
    private readonly reply: FastifyReply,
    private readonly model: ServedModel,
    private readonly body: CompletionRequest,
  ) {
    this.choices = body.n ?? 1;
    const count = this.choices * promptCount(body.prompt);
    const { choices: limit } = services.options().limits;
    if (count > limit) {
      throw apiErrors.invalidRequest(
        `The request asks for ${count} choices (prompts times n); at most ${limit} are allowed.`,
        'n',
      );
    }
  }

  async begin(): Promise<Generation> {
    const { body, model } = this;
    const asked = askedFormat(body);
    if (asked) checkFormat(model, asked);
    if (scored(body) && !model.scoresTexts) {
      const message = `The model ${JSON.stringify(model.id)} gives no log probabilities of prompts.`;
      throw apiErrors.unsupported('echo', message);
    }
    this.prompts = await readTexts(model, body.prompt, 'prompt');
    const sequences = this.prompts.flatMap(({ tokens }) => {
      const maxTokens = completionBudget(model, tokens.length, body.max_tokens, requestDefaults.maxTokens, 'prompt');
      return Array.from({ length: this.choices }, (_, choice) => ({
        ...this.promptOf(tokens, maxTokens),
        sampling: samplingOf(body, choice),
        stop: stopsOf(body.stop),
        ...(body.logprobs != null && { logprobs: body.logprobs }),
        ...(body.ignore_eos && { ignoreEos: true }),
        ...(body.priority != null && { priority: body.priority }),
        ...(asked && { format: asked.format }),
      }));
    });
    return begin(this.services, this.request, this.reply, model, sequences, this.choices, asked?.param);
  }

  async answer(generation: Generation): Promise<CompletionResponse> {
    const texts = this.sequenceStarts();
    const positions: PositionLogprobs[][] = texts.map(() => []);
    const prompts: (readonly PositionLogprobs[])[] = texts.map(() => []);
    const reasons: ('stop' | 'length')[] = [];
    const usages: TokenUsage[] = [];
    await consume(this.services, this.request, generation, (sequence, event) => {
      if (event.type === 'token') {
        texts[sequence] += event.text;
        if (event.logprobs) positions[sequence]!.push(...event.logprobs);
      } else {
        reasons[sequence] = event.finishReason;
        prompts[sequence] = event.forcedLogprobs ?? [];
        usages[sequence] = event.usage;
      }
    });
    return {
      id: this.id,
      object: 'text_completion',
      created: this.created,
      model: this.body.model,
      choices: texts.map((text, index) => ({
        index,
        text,
        logprobs: this.scores(index, prompts[index]!, positions[index]!),
        finish_reason: reasons[index]!,
      })),
      usage: totalUsage(usages, this.choices),
    };
  }

  async stream(generation: Generation): Promise<void> {
    const includeUsage = this.body.stream_options?.include_usage === true;
    const chunk = (index: number, text: string, logprobs: CompletionLogprobs | null, finish: string | null) => ({
      ...this.envelope(),
      choices: [{ index, text, logprobs, finish_reason: finish }],
      ...(includeUsage && { usage: null }),
    });
    const usages: TokenUsage[] = [];
    await stream(this.services, this.request, this.reply, async (events) => {
      const starts = this.sequenceStarts();
      const logprobs = starts.map(() => this.logprobs());
      for (const [index, text] of starts.entries()) if (text) await events.send(chunk(index, text, null, null));
      await consume(this.services, this.request, generation, async (sequence, event) => {
        if (event.type === 'token') {
          const scores = event.logprobs && logprobs[sequence]?.piece(event.logprobs);
          if (event.text || scores) await events.send(chunk(sequence, event.text, scores ?? null, null));
          return;
        }
        usages[sequence] = event.usage;
        await events.send(chunk(sequence, '', null, event.finishReason));
      });
      if (includeUsage) {
        await events.send({ ...this.envelope(), choices: [], usage: totalUsage(usages, this.choices) });
      }
    });
  }

  /** What each choice's text begins with. */
  private sequenceStarts(): string[] {
    return this.prompts.flatMap((prompt) => Array<string>(this.choices).fill(this.body.echo ? prompt.text() : ''));
  }

  /** Of a prompt that is to be scored, all but the first token come as if they were drawn. */
  private promptOf(tokens: ArrayLike<number>, maxTokens: number) {
    if (!scored(this.body)) return { promptTokens: tokens, maxTokens };
    const [first, ...rest] = Array.from(tokens);
    if (rest.length === 0 && maxTokens === 0) {
      throw apiErrors.invalidRequest('A prompt of one token has no log probabilities to give.', 'prompt');
    }
    return { promptTokens: [first as number], forced: rest, maxTokens };
  }

  private scores(
    index: number,
    prompt: readonly PositionLogprobs[],
    positions: readonly PositionLogprobs[],
  ): CompletionLogprobs | null {
    const builder = this.logprobs();
    if (!builder) return null;
    if (!scored(this.body)) return builder.piece(positions);
    const { tokens } = this.prompts[Math.floor(index / this.choices)]!;
    return builder.piece([...prompt, ...positions], tokens[0]);
  }

  private logprobs(): CompletionLogprobsBuilder | undefined {
    if (this.body.logprobs == null) return undefined;
    return new CompletionLogprobsBuilder(this.model.tokenizer, this.body.logprobs);
  }

  private envelope() {
    return { id: this.id, object: 'text_completion', created: this.created, model: this.body.model };
  }
}

function promptCount(prompt: CompletionRequest['prompt']): number {
  return typeof prompt === 'string' || typeof prompt[0] === 'number' ? 1 : prompt.length;
}
