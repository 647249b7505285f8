import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The command line program of this checkout. */
export const program = fileURLToPath(new URL('../../core/bin/largeforge.mjs', import.meta.url));

export interface Served {
  /** Without a path. */
  readonly url: string;
  /** Drains the server. */
  stop(): Promise<void>;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
}

/** Serves a model in a process of its own on a free port. */
export const serve = (model: string, folder: string): Promise<Served> =>
  started(['serve', '--model', model, '--port', '0'], folder);

/** Runs a command that serves, in a process of its own; resolves when it is ready. */
export async function started(
  command: readonly string[],
  folder: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Served> {
  const server = spawn(process.execPath, [program, ...command, '--log', 'json'], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    const seen: string[] = [];
    for (const stream of [server.stdout, server.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        seen.push(line);
        const found = /http:\/\/127\.0\.0\.1:\d+|http:\/\/localhost:\d+/.exec(line);
        if (found) resolve(found[0]);
      });
    }
    server.on('exit', (code) => reject(new Error(`the server ended with ${code}:\n${seen.join('\n')}`)));
  });
  // It listens before its model is loaded.
  while (!(await fetch(`${url}/readyz`)).ok) await setTimeout(100);
  const end = async (signal: NodeJS.Signals) => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server.on('exit', resolve));
    server.kill(signal);
    await ended;
  };
  return { url, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}
