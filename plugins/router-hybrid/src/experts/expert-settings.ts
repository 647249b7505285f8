import { z } from 'zod';
import { keywordRuleSchema } from '../router/artifact.js';

/** Names go into headers, URLs and metrics. */
const name = z.string().regex(/^[\w.-]{1,64}$/, 'expected a name of letters, digits, ".", "_" and "-", 64 at most');

/** What is said of an expert, in the config and in the API. */
export const expertSchema = z
  .strictObject({
    name,
    description: z.string().default('').describe('in words; queries are compared with it'),
    domains: z.array(z.string().min(1)).default([]).describe('subjects; classes of a trained router among them'),
    examples: z.array(z.string().min(1)).max(1000).default([]).describe('queries that it should get'),
    keywords: z.array(keywordRuleSchema).default([]),
    threshold: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe("confidence from which it is chosen; the router's own else"),
    model: z.string().min(1).optional().describe('the model or adapter that answers; the expert’s name when absent'),
    url: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe('an OpenAI-compatible server, up to and with /v1; this server when absent'),
    api_key_env: z
      .string()
      .regex(/^[A-Za-z_]\w*$/)
      .optional()
      .describe('environment variable with the key of that server'),
    capacity: z.int().min(1).default(8).describe('requests at a time at which it counts as full'),
    fallback: z.array(name).default([]).describe('who answers when it cannot, in this order'),
    cost: z.number().min(0).optional().describe('of a thousand tokens, in any unit; for reports'),
  })
  .refine((expert) => expert.api_key_env === undefined || expert.url !== undefined, {
    error: 'only an expert with a url has a key',
    path: ['api_key_env'],
  });

export type ExpertSettings = z.output<typeof expertSchema>;
