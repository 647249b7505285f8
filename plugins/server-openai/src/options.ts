import { secret } from '@largeforge/core';
import { z } from 'zod';

const port = z.int().min(0).max(65_535);

/** Bounds of what the server takes on, when the config says nothing else. */
export const defaultLimits = {
  queuedRequests: 1024,
  queuedTokens: 1_000_000,
  choices: 128,
  bodyBytes: 4 * 1024 * 1024,
  drainSeconds: 30,
  heartbeatSeconds: 15,
  stalledReaderSeconds: 60,
};

export type ServerLimits = Readonly<typeof defaultLimits>;

const seconds = z.number().gt(0).max(86_400);

// Without zod's defaults: what a step leaves out is the plugin's to say.
const limitsSchema = z.strictObject({
  queuedRequests: z.int().min(1).optional().describe('sequences that may wait for their first token; default 1024'),
  queuedTokens: z.int().min(1).optional().describe('tokens, prompt and completion, that may wait; default 1,000,000'),
  choices: z.int().min(1).max(2048).optional().describe('sequences of one request: prompts times n; default 128'),
  bodyBytes: z.int().min(1024).optional().describe('largest request body, read at start-up; default 4 MiB'),
  drainSeconds: z.number().min(0).optional().describe('time for running requests to end at shutdown; default 30'),
  heartbeatSeconds: seconds.optional().describe('a silent stream gets a comment after this long; default 15'),
  stalledReaderSeconds: seconds
    .optional()
    .describe('a stream whose reader takes nothing this long is cancelled; default 60'),
});

const keyHint = 'expected a key of 16 characters or more; take one from ${env:NAME} or ${file:path}';

const key = secret(z.string().min(16, keyHint).regex(/^\S+$/, 'expected a key without spaces'));

export const weightsSchema = z
  .enum(['as-stored', 'f32', 'bf16'])
  .describe(
    'what matrices are kept in; default as-stored: those of a quantised checkpoint (GGUF, GPTQ, AWQ) in their own bits',
  );

const guessedTokens = z.int().min(1).max(32).optional().describe('tokens guessed at once');

export const speculationSchema = z
  .union(
    [
      z.strictObject({
        draft: z.string().min(1).describe('a smaller model of the same tokenizer'),
        tokens: guessedTokens,
      }),
      z.strictObject({ lookup: z.literal(true).describe('guess from repetitions in the text'), tokens: guessedTokens }),
    ],
    'expected {draft: MODEL} or {lookup: true}',
  )
  .describe('tokens guessed ahead, so that a step yields several; the text stays the same');

export const modelSpecSchema = z.union(
  [
    z.string().min(1),
    z.strictObject({
      path: z.string().min(1),
      id: z.string().min(1).optional(),
      weights: weightsSchema.optional(),
      mixedWith: z
        .array(z.strictObject({ path: z.string().min(1), weight: z.number().positive().default(1) }))
        .min(1)
        .optional()
        .describe('models of the same vocabulary that choose every token together with it'),
      speculation: speculationSchema.optional(),
    }),
  ],
  'expected a path, or {path, id, weights, mixedWith, speculation}',
);

const shared = {
  host: z.string().min(1).optional().describe('address to listen on; default 127.0.0.1. Any other needs apiKeys'),
  port: port.optional().describe('default 8000; 0 takes a free one'),
  apiKeys: z.array(key).optional().describe('Bearer keys of the API; without them it is open to this machine'),
  adminKeys: z.array(key).optional().describe('Bearer keys of the administrative routes; without them these are off'),
  allowedHosts: z
    .array(z.string().min(1))
    .optional()
    .describe('names besides localhost that requests may be addressed to while there are no apiKeys'),
  limits: limitsSchema.optional().describe('bounds of the queue and of requests'),
};

/** Options of the plugin in the config's `plugins` list: defaults of every serve step. */
export const pluginOptionsSchema = z.strictObject(shared);

/** Options of a pipeline step `stage: serve, use: openai`. */
export const stepOptionsSchema = z
  .strictObject({
    ...shared,
    model: modelSpecSchema.optional().describe('folder, GGUF file or adapter to serve'),
    models: z.array(modelSpecSchema).optional().describe('several of them'),
  })
  .refine((options) => options.model !== undefined || (options.models?.length ?? 0) > 0, {
    error: 'expected model, or models with at least one entry',
    path: ['model'],
  });

export type PluginOptions = z.output<typeof pluginOptionsSchema>;
export type StepOptions = z.output<typeof stepOptionsSchema>;

/** Everything decided. */
export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
  readonly allowedHosts: readonly string[];
  readonly limits: ServerLimits;
}

/** A step's options over the plugin's over the defaults. */
export function resolveOptions(plugin: PluginOptions, step: PluginOptions = {}): ServerOptions {
  return {
    host: step.host ?? plugin.host ?? '127.0.0.1',
    port: step.port ?? plugin.port ?? 8000,
    apiKeys: step.apiKeys ?? plugin.apiKeys ?? [],
    adminKeys: step.adminKeys ?? plugin.adminKeys ?? [],
    allowedHosts: step.allowedHosts ?? plugin.allowedHosts ?? [],
    limits: { ...defaultLimits, ...plugin.limits, ...step.limits },
  };
}
