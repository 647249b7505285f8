import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { ChatAnswer } from '../chat-answer.js';
import { renderPrompt, templateOf } from '../chat-prompt.js';
import { type Generation, totalUsage } from '../generation.js';
import { apiErrors } from '../http/api-error.js';
import { begin, checkFormat, completionBudget, consume, findGenerator, stream } from '../inference.js';
import { chatLogprobs } from '../logprobs.js';
import type { PositionLogprobs, ServedModel, TokenUsage } from '../models.js';
import {
  type ChatLogprobs,
  type ChatRequest,
  type ChatResponse,
  chatRequestSchema,
  chatResponseSchema,
} from '../schemas/chat.js';
import { requestDefaults, samplingOf, stopsOf } from '../schemas/sampling.js';
import { type AskedFormat, askedFormat } from '../schemas/structured.js';
import { type ToolUse, toolUse } from '../schemas/tools.js';
import { errorResponses } from '../schemas/usage.js';
import type { ServerServices } from '../services.js';
import { callGrammar, type ToolFormat, toolFormatOf } from '../tools/tool-format.js';
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
      const model = await findGenerator(services, request, body.model);
      const call = new ChatCall(services, request, reply, model, body);
      const generation = await call.begin();
      return body.stream ? call.stream(generation) : call.answer(generation);
    },
  });
}

function refuseUnsupported(body: ChatRequest): void {
  if ((body.functions?.length ?? 0) > 0)
    throw apiErrors.unsupported('functions', 'functions are not supported; send them as tools.');
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

type ChatFinish = 'stop' | 'length' | 'tool_calls';

class ChatCall {
  private readonly id = `chatcmpl-${randomUUID().replaceAll('-', '')}`;
  private readonly created = Math.floor(Date.now() / 1000);
  private readonly choices: number;
  private readonly tools: ToolUse | undefined;
  private readonly toolFormat: ToolFormat;
  private readonly format: AskedFormat | undefined;

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
    this.toolFormat = toolFormatOf(templateOf(model));
    this.tools = toolUse(body);
    this.format = this.wantedFormat();
    if (this.format) checkFormat(model, this.format);
  }

  /** What the text must look like: as the request says, or as calls are written. */
  private wantedFormat(): AskedFormat | undefined {
    const asked = askedFormat(this.body);
    const calls = this.tools && callGrammar(this.toolFormat, this.tools);
    if (asked && this.tools?.choice === 'must') {
      throw apiErrors.invalidRequest(
        `tool_choice wants nothing but calls, and ${asked.param} a text of another form; send one of them.`,
        'tool_choice',
      );
    }
    // An answer that a request gives a form to is no call; the tools are there for other turns.
    return asked ?? (calls && { param: 'tools', format: calls });
  }

  async begin(): Promise<Generation> {
    const { body, model } = this;
    const promptTokens = await renderPrompt(model, body.messages, this.toolFormat, this.tools?.tools ?? []);
    const asked = body.max_completion_tokens ?? body.max_tokens;
    const maxTokens = completionBudget(model, promptTokens.length, asked, requestDefaults.maxTokens, 'messages');
    const sequences = Array.from({ length: this.choices }, (_, choice) => ({
      promptTokens,
      sampling: samplingOf(body, choice),
      maxTokens,
      stop: stopsOf(body.stop),
      ...(body.logprobs && { logprobs: body.top_logprobs ?? 0 }),
      ...(body.ignore_eos && { ignoreEos: true }),
      ...(body.priority != null && { priority: body.priority }),
      ...(this.format && { format: this.format.format }),
    }));
    return begin(this.services, this.request, this.reply, model, sequences, this.choices, this.format?.param);
  }

  async answer(generation: Generation): Promise<ChatResponse> {
    const answers = this.answers();
    const positions: PositionLogprobs[][] = answers.map(() => []);
    const reasons: ChatFinish[] = [];
    const usages: TokenUsage[] = [];
    await consume(this.services, this.request, generation, (choice, event) => {
      if (event.type === 'token') {
        answers[choice]!.push(event.text);
        if (event.logprobs) positions[choice]!.push(...event.logprobs);
      } else {
        answers[choice]!.finish();
        reasons[choice] = this.finish(event.finishReason, answers[choice]!);
        usages[choice] = event.usage;
      }
    });
    return {
      id: this.id,
      object: 'chat.completion',
      created: this.created,
      model: this.body.model,
      choices: answers.map(({ message }, index) => ({
        index,
        message,
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
    const answers = this.answers();
    await stream(this.services, this.request, this.reply, async (events) => {
      for (let choice = 0; choice < this.choices; choice++) {
        await events.send(chunk(choice, { role: 'assistant', content: '' }, null, null));
      }
      await consume(this.services, this.request, generation, async (choice, event) => {
        if (event.type === 'token') {
          const logprobs = event.logprobs?.length ? this.logprobs(event.logprobs) : null;
          const deltas = answers[choice]!.push(event.text);
          if (deltas.length === 0 && logprobs) deltas.push({ content: '' });
          for (const [at, delta] of deltas.entries()) {
            await events.send(chunk(choice, delta, at === 0 ? logprobs : null, null));
          }
          return;
        }
        usages[choice] = event.usage;
        for (const delta of answers[choice]!.finish()) await events.send(chunk(choice, delta, null, null));
        await events.send(chunk(choice, {}, null, this.finish(event.finishReason, answers[choice]!)));
      });
      if (includeUsage) {
        await events.send({ ...this.envelope(), choices: [], usage: totalUsage(usages, this.choices) });
      }
    });
  }

  /** An empty answer for each choice. */
  private answers(): ChatAnswer[] {
    const { tools } = this;
    const known = new Set(tools?.callable.map((tool) => tool.function.name));
    const calls = tools && (this.format === undefined || this.format.param === 'tools');
    return Array.from(
      { length: this.choices },
      () => new ChatAnswer(calls ? this.toolFormat.parser(known) : undefined),
    );
  }

  /** A call that the request named ends with "stop", as OpenAI has it; one that the model chose with "tool_calls". */
  private finish(reason: 'stop' | 'length', answer: ChatAnswer): ChatFinish {
    return reason === 'stop' && answer.called && !this.tools?.named ? 'tool_calls' : reason;
  }

  private logprobs(positions: readonly PositionLogprobs[]): ChatLogprobs | null {
    return this.body.logprobs ? chatLogprobs(this.model.tokenizer, positions, this.body.top_logprobs ?? 0) : null;
  }

  private envelope() {
    return { id: this.id, object: 'chat.completion.chunk', created: this.created, model: this.body.model };
  }
}
