import { z } from 'zod';

const port = z.int().min(0).max(65_535);

/** Bounds of what the server takes on; all of them can be changed while it runs. */
export const limitsSchema = z.strictObject({
  queuedRequests: z.int().min(1).default(256).describe('sequences that may wait for their first token; more get a 429'),
  queuedTokens: z.int().min(1).default(1_000_000).describe('tokens, prompt and completion, that may wait'),
  choices: z.int().min(1).max(2048).default(128).describe('sequences that one request may ask for: prompts times n'),
  bodyBytes: z
    .int()
    .min(1024)
    .default(8 * 1024 * 1024)
    .describe('largest request body (read at start-up)'),
  drainSeconds: z.number().min(0).default(30).describe('how long running requests may take to end at shutdown'),
  heartbeatSeconds: z.number().gt(0).default(15).describe('a comment is sent on a silent stream after this long'),
  stalledReaderSeconds: z
    .number()
    .gt(0)
    .default(60)
    .describe('a stream whose reader takes nothing this long is cancelled'),
});

export type ServerLimits = z.output<typeof limitsSchema>;

const keyHint = 'expected a key of 16 characters or more; take one from ${env:NAME} or ${file:path}';

const secret = z.string().min(16, keyHint).regex(/^\S+$/, 'expected a key without spaces').meta({ secret: true });

export const modelSpecSchema = z.union(
  [z.string().min(1), z.strictObject({ path: z.string().min(1), id: z.string().min(1).optional() })],
  'expected a path, or {path, id}',
);

const shared = {
  host: z.string().min(1).optional().describe('address to listen on; default 127.0.0.1. Any other needs apiKeys'),
  port: port.optional().describe('default 8000; 0 takes a free one'),
  apiKeys: z.array(secret).optional().describe('Bearer keys of the API; without them it is open to this machine'),
  adminKeys: z
    .array(secret)
    .optional()
    .describe('Bearer keys of the administrative routes; without them these are off'),
  allowedHosts: z
    .array(z.string().min(1))
    .optional()
    .describe('names besides localhost that requests may be addressed to while there are no apiKeys'),
  limits: limitsSchema.partial().optional(),
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
    limits: limitsSchema.parse({ ...plugin.limits, ...step.limits }),
  };
}
