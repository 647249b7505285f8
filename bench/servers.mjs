/** Servers that benchmarks measure over HTTP: ours, llama.cpp's and vLLM's, each in a process of its own on a free port. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../core/bin/largeforge.mjs', import.meta.url));

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Largest resident memory of a process and its children so far, in MiB; 0 where /proc does not tell. */
function peakMemory(pid) {
  let kilobytes = 0;
  try {
    kilobytes = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean);
      for (const child of children) kilobytes += 1024 * peakMemory(child);
    }
  } catch {}
  return kilobytes / 1024;
}

const running = new Set();
// An interrupted benchmark leaves no server behind.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    for (const child of running) child.kill('SIGKILL');
    process.exit(1);
  });
}

/** Starts a server and waits until it answers. `stop` ends it; `memory` gives its peak in MiB. */
async function start(name, command, args, { env = {}, cleanUp = () => {}, patience = 240 } = {}) {
  const port = await freePort();
  const child = spawn(command, args(port), { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  running.add(child);
  child.once('exit', () => running.delete(child));
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (log = (log + text).slice(-4000)));
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await Promise.race([gone, sleep(10_000).then(() => child.kill('SIGKILL'))]);
    }
    cleanUp();
  };
  const url = `http://127.0.0.1:${port}`;
  const begin = performance.now();
  for (;;) {
    const seconds = (performance.now() - begin) / 1000;
    if (child.exitCode !== null || child.signalCode !== null || seconds > patience) {
      await stop();
      throw new Error(`${name} does not start: ${log.trim().split('\n').slice(-5).join('\n')}`);
    }
    const models = await fetch(`${url}/v1/models`).catch(() => undefined);
    // A server may answer before it has loaded its model.
    const [model] = models?.ok ? (await models.json()).data : [];
    if (model) return { name, url, model: model.id, stop, startSeconds: seconds, memory: () => peakMemory(child.pid) };
    await sleep(200);
  }
}

/** @param generate options of @largeforge/generate */
export function startOurs(model, { name = 'largeforge', generate = {}, threads } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-bench-'));
  const file = join(folder, 'largeforge.config.json');
  const config = (port) => ({
    plugins: ['@largeforge/backend-cpu', ['@largeforge/generate', generate], '@largeforge/server-openai'],
    ...(threads && { backend: { name: 'cpu', threads } }),
    pipeline: [{ name: 'serve', stage: 'serve', use: 'openai', with: { model, port } }],
  });
  const args = (port) => {
    writeFileSync(file, JSON.stringify(config(port)));
    return [program, 'run', '--config', file, '--log', 'json'];
  };
  return start(name, process.execPath, args, { cleanUp: () => rmSync(folder, { recursive: true, force: true }) });
}

/** llama-cpp-python's server; undefined where it is not installed. */
export async function startLlama(model, { threads }) {
  const python = process.env.LARGEFORGE_LLAMA_PYTHON;
  if (python === undefined) return undefined;
  const number = String(threads);
  const options = ['--n_ctx', '2048', '--n_threads', number, '--n_threads_batch', number];
  // Otherwise a request ends the one before it.
  options.push('--interrupt_requests', 'false');
  return start('llama.cpp', python, (port) => [
    '-m',
    'llama_cpp.server',
    '--model',
    model,
    '--port',
    String(port),
    ...options,
  ]);
}

/** vLLM's CPU build in bf16; undefined where it is not installed. */
export async function startVllm(folder) {
  const python = process.env.LARGEFORGE_VLLM_PYTHON;
  if (python === undefined) return undefined;
  const env = {
    VLLM_CPU_OMP_THREADS_BIND: 'nobind',
    VLLM_CPU_KVCACHE_SPACE: '2',
    VLLM_NO_USAGE_STATS: '1',
    HF_HUB_OFFLINE: '1',
  };
  const options = ['--model', folder, '--dtype', 'bfloat16', '--max-model-len', '2048'];
  const args = (port) => [
    '-m',
    'vllm.entrypoints.openai.api_server',
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
    ...options,
  ];
  return start('vLLM', python, args, { env, patience: 400 });
}
