import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The command line program of this checkout. */
export const program = fileURLToPath(new URL('../../core/bin/largeforge.mjs', import.meta.url));

/** Serves a model in a process of its own on a free port. `url` has no path; `stop` drains the server. */
export async function serve(model: string, folder: string): Promise<{ url: string; stop(): Promise<void> }> {
  const server = spawn(process.execPath, [program, 'serve', '--model', model, '--port', '0', '--log', 'json'], {
    cwd: folder,
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
  return {
    url,
    async stop() {
      const ended = new Promise((resolve) => server.on('exit', resolve));
      server.kill('SIGTERM');
      await ended;
    },
  };
}
