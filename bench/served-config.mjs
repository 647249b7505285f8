/** Servers for benchmarks: `largeforge run` of a config, in a process of its own. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../core/bin/largeforge.mjs', import.meta.url));

/**
 * Runs a config that serves; resolves when its models are loaded. One thread computes.
 * @param file where the config is written to
 * @returns the address, and what ends the process
 */
export async function servedConfig(file, { plugins = [], models }) {
  const own = ['@largeforge/backend-cpu', '@largeforge/generate', '@largeforge/server-openai'];
  const config = {
    backend: { name: 'cpu', threads: 1 },
    plugins: [...own, ...plugins],
    pipeline: [{ name: 'serve', stage: 'serve', use: 'openai', with: { port: 0, models } }],
  };
  writeFileSync(file, JSON.stringify(config));
  const server = spawn(process.execPath, [program, 'run', '-c', file, '--log', 'json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  server.stderr.on('data', (text) => {
    said = `${said}${text}`.slice(-2000);
  });
  const ended = new Promise((resolve) => server.on('exit', resolve));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      const found = /http:\/\/127\.0\.0\.1:\d+|http:\/\/localhost:\d+/.exec(line);
      if (found) resolve(found[0]);
    });
    void ended.then((code) => reject(new Error(`the server ended with ${code}:\n${said}`)));
  });
  // It listens before its model is loaded.
  while (!(await fetch(`${url}/readyz`)).ok) await new Promise((resolve) => setTimeout(resolve, 100));
  const stop = async () => {
    server.kill();
    await ended;
  };
  return { url, stop };
}
