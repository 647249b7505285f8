import { z } from 'zod';
import { named } from './registry.js';
import { samplingFields } from './sampling.js';
import { responseFormatSchema, structuredFields } from './structured.js';
import { toolCallSchema, toolFields } from './tools.js';
import { finishReasonSchema, usageSchema } from './usage.js';

const textPart = z.object({ type: z.literal('text'), text: z.string() });

export const chatMessageSchema = named(
  'ChatMessage',
  z.looseObject({
    role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
    content: z
      .union([z.string(), z.array(textPart)], 'expected a string or a list of {type: "text", text} parts')
      .nullish(),
    name: z.string().nullish(),
    tool_calls: z.array(toolCallSchema).nullish().describe('what the assistant called'),
    tool_call_id: z.string().nullish().describe('for role "tool": the call that this is the result of'),
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
    response_format: responseFormatSchema.nullish(),
    ...structuredFields,
    ...toolFields,
    functions: z.array(z.unknown()).nullish().describe('not supported; send them as tools'),
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
        message: z.object({
          role: z.literal('assistant'),
          content: z.string().nullable().describe('null when the answer is nothing but calls'),
          refusal: z.null(),
          tool_calls: z.array(toolCallSchema).optional(),
        }),
        logprobs: chatLogprobsSchema.nullable(),
        finish_reason: z.enum([...finishReasonSchema.options, 'tool_calls']),
      }),
    ),
    usage: usageSchema,
  }),
);

export type ChatResponse = z.output<typeof chatResponseSchema>;
