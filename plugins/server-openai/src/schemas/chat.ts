import { z } from 'zod';
import { named } from './registry.js';
import { samplingFields } from './sampling.js';
import { finishReasonSchema, usageSchema } from './usage.js';

const textPart = z.object({ type: z.literal('text'), text: z.string() });

export const chatMessageSchema = named(
  'ChatMessage',
  z.looseObject({
    role: z.enum(['system', 'developer', 'user', 'assistant']),
    content: z
      .union([z.string(), z.array(textPart)], 'expected a string or a list of {type: "text", text} parts')
      .nullish(),
    name: z.string().nullish(),
  }),
);

export const chatRequestSchema = named(
  'ChatCompletionRequest',
  z.looseObject({
    model: z.string(),
    messages: z.array(chatMessageSchema).min(1),
    max_tokens: z.int().min(1).nullish().describe('default 256'),
    max_completion_tokens: z.int().min(1).nullish().describe('the newer name of max_tokens; wins when both are given'),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(20).nullish().describe('needs logprobs'),
    response_format: z.looseObject({ type: z.string() }).nullish().describe('only {"type": "text"}'),
    tools: z.array(z.unknown()).nullish().describe('not supported unless tool_choice is "none"'),
    tool_choice: z.unknown().nullish(),
    functions: z.array(z.unknown()).nullish().describe('not supported'),
    modalities: z.array(z.string()).nullish().describe('only ["text"]'),
    user: z.string().nullish(),
    ...samplingFields,
  }),
);

export type ChatRequest = z.output<typeof chatRequestSchema>;

const tokenLogprob = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() });

export const chatLogprobsSchema = z.object({
  content: z.array(tokenLogprob.extend({ top_logprobs: z.array(tokenLogprob) })),
  refusal: z.null(),
});

export type ChatLogprobs = z.output<typeof chatLogprobsSchema>;

export const chatResponseSchema = named(
  'ChatCompletion',
  z.object({
    id: z.string(),
    object: z.literal('chat.completion'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: chatLogprobsSchema.nullable(),
        finish_reason: finishReasonSchema,
      }),
    ),
    usage: usageSchema,
  }),
);

export type ChatResponse = z.output<typeof chatResponseSchema>;
