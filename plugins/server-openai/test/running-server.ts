import OpenAI from 'openai';
import { pluginOptionsSchema, resolveOptions } from '../src/options.js';
import { type CreateServer, OpenAiServer } from '../src/server.js';
import type { ServerLog } from '../src/services.js';
import { type Script, ScriptedHost, ScriptedModel } from './scripted-models.js';

/** Keeps every record, as JSON, for tests that search the log. */
export class RecordingLog implements ServerLog {
  readonly records: { level: string; fields: Record<string, unknown>; message: string }[] = [];
  readonly debug = this.at('debug');
  readonly info = this.at('info');
  readonly warn = this.at('warn');
  readonly error = this.at('error');

  get text(): string {
    return JSON.stringify(this.records);
  }

  find(message: string): Record<string, unknown>[] {
    return this.records.filter((record) => record.message === message).map((record) => record.fields);
  }

  private at(level: string) {
    return (fields: unknown, message?: string) => {
      this.records.push({ level, fields: fields as Record<string, unknown>, message: message ?? String(fields) });
    };
  }
}

export interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly server: OpenAiServer;
  readonly model: ScriptedModel;
  readonly host: ScriptedHost;
  readonly log: RecordingLog;
  client(options?: { apiKey?: string; maxRetries?: number }): OpenAI;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
}

/** A server on a free port over a scripted model named "tiny". */
export async function startServer(
  script: Script = {},
  options: Record<string, unknown> = {},
  extra: Partial<CreateServer> = {},
): Promise<RunningServer> {
  const model = new ScriptedModel('tiny', script);
  const host = new ScriptedHost(model, new ScriptedModel('org/adapter'));
  const log = new RecordingLog();
  const server = await OpenAiServer.create({
    models: host,
    options: resolveOptions(pluginOptionsSchema.parse({ port: 0, ...options })),
    log,
    version: '0.1.0',
    ...extra,
  });
  const { url } = await server.listen();
  server.open();
  return {
    url,
    server,
    model,
    host,
    log,
    client: ({ apiKey = 'unused-key', maxRetries = 0 } = {}) =>
      new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries }),
    post: (path, body, headers = {}) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

/** Polls until the condition holds; fails after two seconds. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ten seconds: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
