import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What the server's process says of itself. Delays of its event loop are milliseconds since the last question. */
export interface ProcessFigures {
  readonly delayP50: number;
  readonly delayP99: number;
  readonly delayMax: number;
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly descriptors: number;
}

export interface ModelState {
  readonly id: string;
  readonly running: number;
  readonly waiting: number;
  readonly cache_usage: number;
  readonly failure: string | null;
}

export interface ServerState {
  readonly active_requests: number;
  readonly queued_requests: number;
  readonly queued_tokens: number;
  readonly models: readonly ModelState[];
}

const adminKey = 'the-key-of-the-load-run';

/** `largeforge run` in a process of its own, serving the quickstart's base model as "base". */
export class ServerProcess implements AsyncDisposable {
  private output = '';

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    readonly port: number,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text) => {
        this.output = (this.output + text).slice(-20_000);
      });
    }
  }

  /** @param limits of the server; `generate` are options of the plugin of that name */
  static async start(
    limits: Record<string, unknown>,
    generate: Record<string, unknown>,
    environment: NodeJS.ProcessEnv = {},
  ): Promise<ServerProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'largeforge-load-'));
    const port = await freePort();
    const config = {
      plugins: ['@largeforge/backend-cpu', ['@largeforge/generate', generate], '@largeforge/server-openai'],
      pipeline: [
        {
          name: 'serve',
          stage: 'serve',
          use: 'openai',
          with: { model: join(root, 'examples/quickstart/base'), port, adminKeys: [adminKey], limits },
        },
      ],
    };
    const file = join(folder, 'largeforge.config.json');
    writeFileSync(file, JSON.stringify(config));
    const args = ['--expose-gc', '--import', join(root, 'test/load/probe.mjs')];
    const child = spawn(
      process.execPath,
      [...args, join(root, 'core/bin/largeforge.mjs'), 'run', '--config', file, '--log', 'json'],
      { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { ...process.env, ...environment }, cwd: root },
    );
    const server = new ServerProcess(child, folder, port);
    const deadline = Date.now() + 60_000;
    while (!(await server.ready())) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`the server does not start: ${server.output}`);
      }
      await sleep(50);
    }
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The end of what the server wrote, for messages. */
  get log(): string {
    return this.output;
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async figures(): Promise<ProcessFigures> {
    const answer = once(this.child, 'message');
    this.child.send('figures');
    return (await answer)[0] as ProcessFigures;
  }

  async state(): Promise<ServerState> {
    const response = await fetch(`${this.url}/admin/stats`, { headers: { authorization: `Bearer ${adminKey}` } });
    return (await response.json()) as ServerState;
  }

  /** Polls until nothing runs or waits; the state then. */
  async idle(): Promise<ServerState> {
    for (let i = 0; i < 600; i++) {
      const state = await this.state();
      if (state.active_requests === 0 && state.models.every(({ running, waiting }) => running + waiting === 0))
        return state;
      await sleep(50);
    }
    return this.state();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.alive) {
      this.child.kill('SIGTERM');
      await once(this.child, 'exit');
    }
    rmSync(this.folder, { recursive: true });
  }

  private async ready(): Promise<boolean> {
    const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
    return response?.ok === true;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
