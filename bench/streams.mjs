/**
 * Concurrent streams over HTTP: tokens a second of all streams together and the time to the first token, of our server
 * and of llama.cpp's (llama-cpp-python's server), one after the other in each repetition, on the same GGUF file.
 *
 *   node bench/streams.mjs [--model FILE.gguf] [--streams 1,8,32] [--repetitions 3] [--prompt random|shared] [--json FILE]
 *
 * `random` prompts have 64 tokens or so and share nothing; `shared` ones have 512 in common. Answers have 64 tokens.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: process.env.LARGEFORGE_BENCH_MODEL },
    streams: { type: 'string', default: '1,8,32' },
    repetitions: { type: 'string', default: '3' },
    prompt: { type: 'string', default: 'random' },
    threads: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'string' },
  },
});
if (!values.model) {
  process.stderr.write('--model: which GGUF file? "npm run bench -- --only streams" takes that of SmolLM2-135M\n');
  process.exit(2);
}
const NEW_TOKENS = 64;
const WORDS =
  'time people way water word day part sound place year live work back thing man home air line end land'.split(' ');

/** Numbers from a seed, so that both sides get the same prompts. */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const words = (count, random) =>
  Array.from({ length: count }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');
const shared = words(500, randomOf(1));
const promptOf = (seed) =>
  values.prompt === 'shared' ? `${shared} ${words(12, randomOf(seed))}` : words(62, randomOf(seed));

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts a server and waits until it answers. `stop` ends it. */
async function start(name, command, args, env = {}) {
  const port = await freePort();
  const child = spawn(command, [...args, '--port', String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (log = (log + text).slice(-4000)));
  const url = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + 120_000;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${name} does not start: ${log.trim().split('\n').slice(-5).join('\n')}`);
    }
    const models = await fetch(`${url}/v1/models`).catch(() => undefined);
    // A server may answer before it has loaded its model.
    const [model] = models?.ok ? (await models.json()).data : [];
    if (model) return { name, url, model: model.id, child };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** One streamed completion; seconds to the first token and the tokens that came. */
async function stream(server, prompt) {
  const begin = performance.now();
  const response = await fetch(`${server.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: server.model,
      prompt,
      max_tokens: NEW_TOKENS,
      temperature: 0,
      stream: true,
      stop: [],
    }),
  });
  if (!response.ok) throw new Error(`${server.name}: ${response.status} ${await response.text()}`);
  let [first, tokens, rest] = [0, 0, ''];
  for await (const bytes of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + bytes).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith('data: {')) continue;
      const [choice] = JSON.parse(line.slice(6)).choices;
      if (!choice?.text) continue;
      first ||= (performance.now() - begin) / 1000;
      tokens++;
    }
  }
  return { first, tokens };
}

async function round(server, streams, seed) {
  const begin = performance.now();
  const results = await Promise.all(Array.from({ length: streams }, (_, i) => stream(server, promptOf(seed + i))));
  const seconds = (performance.now() - begin) / 1000;
  const tokens = results.reduce((sum, result) => sum + result.tokens, 0);
  const firsts = results.map((result) => result.first).sort((a, b) => a - b);
  return { rate: tokens / seconds, first: firsts[Math.floor(0.95 * (firsts.length - 1))] };
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const spread = (list) => `${Math.min(...list).toFixed(0)}-${Math.max(...list).toFixed(0)}`;

const program = fileURLToPath(new URL('../core/bin/largeforge.mjs', import.meta.url));
const ours = await start('largeforge', process.execPath, [program, 'serve', '--model', values.model, '--log', 'json']);
const python = process.env.LARGEFORGE_LLAMA_PYTHON;
let peer;
if (python === undefined) console.log('llama-cpp-python is not installed: no ratio');
else {
  const threads = ['--n_threads', values.threads, '--n_threads_batch', values.threads];
  peer = await start('llama.cpp', python, [
    '-m',
    'llama_cpp.server',
    '--model',
    values.model,
    '--n_ctx',
    '2048',
    // Otherwise a request ends the one before it.
    '--interrupt_requests',
    'false',
    ...threads,
  ]);
}

const rows = [];
try {
  console.log(
    `${cpus()[0].model.trim()}, ${values.threads} threads; ${values.prompt} prompts, ${NEW_TOKENS} new tokens each`,
  );
  for (const streams of values.streams.split(',').map(Number)) {
    const measured = { ours: [], peer: [] };
    for (let i = 0; i <= Number(values.repetitions); i++) {
      for (const [side, server] of [
        ['ours', ours],
        ['peer', peer],
      ]) {
        if (!server) continue;
        const result = await round(server, streams, 1000 * i + 7 * streams);
        // The first round warms caches up, on both sides.
        if (i > 0) measured[side].push(result);
      }
    }
    const rates = (side) => measured[side].map((result) => result.rate);
    const firsts = (side) => median(measured[side].map((result) => result.first));
    const ratio = peer && median(rates('ours').map((rate, i) => rate / rates('peer')[i]));
    rows.push({ streams, ours: measured.ours, peer: peer && measured.peer, ratio });
    const line = (name, side) =>
      `${name} ${median(rates(side)).toFixed(0)} tokens/s (${spread(rates(side))}), first token p95 ${(firsts(side) * 1000).toFixed(0)} ms`;
    console.log(
      `${String(streams).padStart(3)} streams  ${line('largeforge', 'ours')}${peer ? `  ${line('llama.cpp', 'peer')}  ratio ${ratio.toFixed(2)}` : ''}`,
    );
  }
} finally {
  for (const server of [ours, peer]) server?.child.kill('SIGTERM');
}
if (values.json) writeFileSync(values.json, `${JSON.stringify({ prompt: values.prompt, rows }, null, 2)}\n`);
