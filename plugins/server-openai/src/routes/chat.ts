import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { type Generation, totalUsage } from '../generation.js';
import { apiErrors } from '../http/api-error.js';
import { begin, completionBudget, consume, findModel, stream } from '../inference.js';
import { chatLogprobs } from '../logprobs.js';
import type { ChatMessage, PositionLogprobs, ServedModel, TokenUsage } from '../models.js';
import {
  type ChatLogprobs,
  type ChatRequest,
  type ChatResponse,
  chatRequestSchema,
  chatResponseSchema,
} from '../schemas/chat.js';
import { requestDefaults, samplingOf, stopsOf } from '../schemas/sampling.js';
import { errorResponses } from '../schemas/usage.js';
import type { ServerServices } from '../services.js';
import { readBody } from './read-body.js';

/** `POST /v1/chat/completions`. */
export function chatRoutes(app: FastifyInstance, services: ServerServices): void {
  app.withTypeProvider<ZodTypeProvider>().route({
    method: 'POST',
    url: '/v1/chat/completions',
    config: { access: 'api', endpoint: 'chat' },
    schema: {
      tags: ['inference'],
      summary: 'Answer a conversation',
      description:
        'With `stream: true` the answer is `text/event-stream`: one JSON chunk an event, `data: [DONE]` at the end.',
      security: [{ bearer: [] }],
      body: chatRequestSchema,
      response: { 200: chatResponseSchema, ...errorResponses },
    },
    handler: async (request, reply) => {
      const body = await readBody(services, request, 'chat', chatRequestSchema);
      refuseUnsupported(body);
      const model = await findModel(services, request, body.model);
      const call = new ChatCall(services, request, reply, model, body);
      const generation = await call.begin();
      return body.stream ? call.stream(generation) : call.answer(generation);
    },
  });
}

function refuseUnsupported(body: ChatRequest): void {
  const format = body.response_format?.type;
  if (format !== undefined && format !== 'text') {
    throw apiErrors.unsupported(
      'response_format',
      `response_format ${JSON.stringify(format)} is not supported; only "text" is.`,
    );
  }
  if ((body.tools?.length ?? 0) > 0 && body.tool_choice !== 'none') {
    throw apiErrors.unsupported(
      'tools',
      'Tool calls are not supported. Describe the tools in a message, or send tool_choice: "none".',
    );
  }
  if ((body.functions?.length ?? 0) > 0) throw apiErrors.unsupported('functions', 'Function calls are not supported.');
  const modality = body.modalities?.find((name) => name !== 'text');
  if (modality !== undefined) {
    throw apiErrors.unsupported(
      'modalities',
      `The modality ${JSON.stringify(modality)} is not supported; only "text" is.`,
    );
  }
  if (body.top_logprobs != null && !body.logprobs) {
    throw apiErrors.invalidRequest('top_logprobs needs logprobs: true.', 'top_logprobs');
  }
  if (body.stream_options && !body.stream) {
    throw apiErrors.invalidRequest('stream_options is only allowed when stream is true.', 'stream_options');
  }
}

function readMessages(messages: ChatRequest['messages']): ChatMessage[] {
  return messages.map(({ role, content, name }) => ({
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join(''),
    ...(name != null && { name }),
  }));
}

function renderPrompt(model: ServedModel, messages: ChatRequest['messages']): Promise<ArrayLike<number>> {
  if (model.chatTemplate === undefined) {
    throw apiErrors.invalidRequest(
      `The model ${JSON.stringify(model.id)} has no chat template, so it cannot chat. Use /v1/completions.`,
      'model',
      'no_chat_template',
    );
  }
  let text: string;
  try {
    text = model.tokenizer.applyChatTemplate(readMessages(messages), { addGenerationPrompt: true });
  } catch (error) {
    // Templates refuse conversations that they were not written for, such as two user messages in a row.
    const reason = error instanceof Error ? error.message : String(error);
    throw apiErrors.invalidRequest(`The model's chat template refused the messages: ${reason}`, 'messages');
  }
  return model.tokenizer.encode(text, { addSpecialTokens: false });
}

class ChatCall {
  private readonly id = `chatcmpl-${randomUUID().replaceAll('-', '')}`;
  private readonly created = Math.floor(Date.now() / 1000);
  private readonly choices: number;

  constructor(
    private readonly services: ServerServices,
    private readonly request: FastifyRequest,
    private readonly reply: FastifyReply,
    private readonly model: ServedModel,
    private readonly body: ChatRequest,
  ) {
    this.choices = body.n ?? 1;
    const { choices: limit } = services.options().limits;
    if (this.choices > limit) {
      throw apiErrors.invalidRequest(
        `The request asks for ${this.choices} choices; at most ${limit} are allowed.`,
        'n',
      );
    }
  }

  async begin(): Promise<Generation> {
    const { body, model } = this;
    const promptTokens = await renderPrompt(model, body.messages);
    const asked = body.max_completion_tokens ?? body.max_tokens;
    const maxTokens = completionBudget(model, promptTokens.length, asked, requestDefaults.maxTokens, 'messages');
    const sequences = Array.from({ length: this.choices }, (_, choice) => ({
      promptTokens,
      sampling: samplingOf(body, choice),
      maxTokens,
      stop: stopsOf(body.stop),
      ...(body.logprobs && { logprobs: body.top_logprobs ?? 0 }),
    }));
    return begin(this.services, this.request, this.reply, model, sequences, this.choices);
  }

  async answer(generation: Generation): Promise<ChatResponse> {
    const texts = Array<string>(this.choices).fill('');
    const positions: PositionLogprobs[][] = texts.map(() => []);
    const reasons: ('stop' | 'length')[] = [];
    const usages: TokenUsage[] = [];
    await consume(this.services, this.request, generation, (choice, event) => {
      if (event.type === 'token') {
        texts[choice] += event.text;
        if (event.logprobs) positions[choice]!.push(...event.logprobs);
      } else {
        reasons[choice] = event.finishReason;
        usages[choice] = event.usage;
      }
    });
    return {
      id: this.id,
      object: 'chat.completion',
      created: this.created,
      model: this.body.model,
      choices: texts.map((content, index) => ({
        index,
        message: { role: 'assistant', content, refusal: null },
        logprobs: this.logprobs(positions[index]!),
        finish_reason: reasons[index]!,
      })),
      usage: totalUsage(usages, this.choices),
    };
  }

  async stream(generation: Generation): Promise<void> {
    const includeUsage = this.body.stream_options?.include_usage === true;
    const chunk = (index: number, delta: object, logprobs: ChatLogprobs | null, finish: string | null) => ({
      ...this.envelope(),
      choices: [{ index, delta, logprobs, finish_reason: finish }],
      ...(includeUsage && { usage: null }),
    });
    const usages: TokenUsage[] = [];
    await stream(this.services, this.request, this.reply, async (events) => {
      for (let choice = 0; choice < this.choices; choice++) {
        await events.send(chunk(choice, { role: 'assistant', content: '' }, null, null));
      }
      await consume(this.services, this.request, generation, async (choice, event) => {
        if (event.type === 'token') {
          const logprobs = event.logprobs?.length ? this.logprobs(event.logprobs) : null;
          if (event.text || logprobs) await events.send(chunk(choice, { content: event.text }, logprobs, null));
          return;
        }
        usages[choice] = event.usage;
        await events.send(chunk(choice, {}, null, event.finishReason));
      });
      if (includeUsage) {
        await events.send({ ...this.envelope(), choices: [], usage: totalUsage(usages, this.choices) });
      }
    });
  }

  private logprobs(positions: readonly PositionLogprobs[]): ChatLogprobs | null {
    return this.body.logprobs ? chatLogprobs(this.model.tokenizer, positions, this.body.top_logprobs ?? 0) : null;
  }

  private envelope() {
    return { id: this.id, object: 'chat.completion.chunk', created: this.created, model: this.body.model };
  }
}
