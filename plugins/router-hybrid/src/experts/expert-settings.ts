import { z } from 'zod';
import { keywordRuleSchema } from '../router/artifact.js';

/** Names go into headers, URLs and metrics. */
const name = z.string().regex(/^[\w.-]{1,64}$/, 'expected a name of letters, digits, ".", "_" and "-", 64 at most');

/** Milliseconds; the client that asks experts waits no longer for the head of an answer. */
const longestWait = 300_000;

/** How the answers of several experts become one. */
const aggregateSchema = z.discriminatedUnion('method', [
  z.strictObject({
    method: z.literal('cascade').describe('one after the other, until one is sure of its answer'),
    members: z.array(name).min(2).describe('the cheapest first; the last one is believed in any case'),
    confidence: z
      .number()
      .min(0)
      .max(1)
      .default(0.8)
      .describe('probability of a token, in the geometric mean over the answer, from which an answer is believed'),
  }),
  z.strictObject({
    method: z.literal('vote').describe('all at once; the answer that most of them give'),
    members: z.array(name).min(2),
    weights: z
      .enum(['equal', 'confidence'])
      .default('confidence')
      .describe('what a vote counts: one, or the probability of its tokens'),
  }),
  z.strictObject({
    method: z.literal('best-of-n').describe('several samples of each; the one whose tokens are likeliest'),
    members: z.array(name).min(1),
    n: z.int().min(1).max(16).default(4).describe('samples of each member'),
  }),
]);

export type AggregateSettings = z.output<typeof aggregateSchema>;

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
    hedge_after_ms: z
      .int()
      .min(1)
      .optional()
      .describe(
        'when it has said nothing for so long, the next who could answer is asked as well; the sooner one answers',
      ),
    aggregate: aggregateSchema.optional().describe('an expert that is made of others'),
    timeout_ms: z
      .int()
      .min(1)
      .max(longestWait)
      .default(longestWait)
      .describe('time to its first token, or to its whole answer where none is streamed; then the next one is asked'),
    cost: z
      .number()
      .min(0)
      .optional()
      .describe('of a thousand tokens, in any unit: of experts that are otherwise equal the cheaper one is asked'),
  })
  .refine((expert) => expert.api_key_env === undefined || expert.url !== undefined, {
    error: 'only an expert with a url has a key',
    path: ['api_key_env'],
  })
  .refine(({ aggregate, url, model }) => aggregate === undefined || (url === undefined && model === undefined), {
    error: 'an expert that is made of others has neither a model nor a url of its own',
    path: ['aggregate'],
  })
  .refine(({ aggregate, name: own }) => !aggregate?.members.includes(own), {
    error: 'an expert cannot be made of itself',
    path: ['aggregate', 'members'],
  });

export type ExpertSettings = z.output<typeof expertSchema>;
