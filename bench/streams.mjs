/**
 * Concurrent streams over HTTP: tokens a second of all streams together and the time to the first token, of our server and of
 * others', one after the other in each repetition. In the file's own bits beside llama.cpp's server (llama-cpp-python), in bf16
 * beside vLLM; and ours in the batch-invariant mode beside ours without it.
 *
 *   node bench/streams.mjs --model FILE.gguf [--folder BF16_FOLDER] [--sides q4,bf16,invariant] [--streams 1,8,32]
 *     [--prompts random,shared] [--repetitions 3] [--threads N] [--json FILE]
 *
 * `random` prompts have 64 tokens or so and share nothing; `shared` ones have 512 in common. Answers have 64 tokens. Of prompts
 * `read-N` N words are read and one token is asked for: what is counted are the words that are read a second.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { median, percentile, randomOf, stream, words } from './completion-client.mjs';
import { startLlama, startOurs, startVllm } from './servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: process.env.LARGEFORGE_BENCH_MODEL },
    folder: { type: 'string', default: process.env.LARGEFORGE_BENCH_FOLDER },
    sides: { type: 'string', default: 'q4,bf16,invariant' },
    streams: { type: 'string', default: '1,8,32' },
    prompts: { type: 'string', default: 'random,shared' },
    repetitions: { type: 'string', default: '3' },
    threads: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'string' },
  },
});
if (!values.model) {
  process.stderr.write('--model: which GGUF file? "npm run bench -- --only streams" takes that of SmolLM2-135M\n');
  process.exit(2);
}
const NEW_TOKENS = 64;
const threads = Number(values.threads);
const shared = words(500, randomOf(1));
const promptOf = {
  random: (seed) => words(62, randomOf(seed)),
  shared: (seed) => `${shared} ${words(12, randomOf(seed))}`,
};
/** Words that are read of a kind of prompts `read-N`. */
const readOf = (kind) => Number(/^read-(\d+)$/.exec(kind)?.[1] ?? 0);

async function round(server, streams, kind, seed) {
  const begin = performance.now();
  const read = readOf(kind);
  const promptFrom = read ? (own) => words(read, randomOf(own)) : promptOf[kind];
  const prompts = Array.from({ length: streams }, (_, i) => promptFrom(seed + i));
  const results = await Promise.all(prompts.map((prompt) => stream(server, prompt, read ? 1 : NEW_TOKENS)));
  const seconds = (performance.now() - begin) / 1000;
  const tokens = read ? streams * read : results.reduce((sum, result) => sum + result.tokens, 0);
  return {
    rate: tokens / seconds,
    first: percentile(
      results.map(({ first }) => first),
      0.95,
    ),
  };
}

/** What is compared with what. */
const sides = {
  q4: {
    title: "in the file's own bits",
    ours: () => startOurs(values.model, { threads }),
    peer: () => startLlama(values.model, { threads }),
    missing: 'llama-cpp-python is not installed: no ratio',
  },
  bf16: {
    title: 'in bf16',
    ours: () => startOurs({ path: values.folder, weights: 'bf16' }, { threads }),
    peer: () => startVllm(values.folder),
    missing: 'vLLM is not installed: no ratio',
  },
  invariant: {
    title: "in the file's own bits, batch-invariant mode beside the default",
    ours: () => startOurs(values.model, { threads, generate: { batchInvariant: true }, name: 'invariant' }),
    peer: () => startOurs(values.model, { threads, name: 'default' }),
  },
};

const spread = (list) => `${Math.min(...list).toFixed(0)}-${Math.max(...list).toFixed(0)}`;
const tables = [];
console.log(`${cpus()[0].model.trim()}, ${threads} threads; ${NEW_TOKENS} new tokens a stream`);
for (const name of values.sides.split(',')) {
  const side = sides[name];
  const servers = [await side.ours()];
  try {
    const peer = await side.peer();
    if (peer) servers.push(peer);
    else console.log(side.missing);
    console.log(`\n${side.title}`);
    tables.push({ side: name, rows: await measure(servers) });
    for (const server of servers) {
      console.log(
        `${server.name}: ready after ${server.startSeconds.toFixed(1)} s, ${server.memory().toFixed(0)} MiB at most`,
      );
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(tables, null, 2)}\n`);

async function measure(servers) {
  const rows = [];
  for (const kind of values.prompts.split(',')) {
    for (const streams of values.streams.split(',').map(Number)) {
      const measured = servers.map(() => []);
      for (let i = 0; i <= Number(values.repetitions); i++) {
        for (const [at, server] of servers.entries()) {
          const result = await round(server, streams, kind, 1000 * i + 7 * streams);
          // The first round warms caches up, on both sides.
          if (i > 0) measured[at].push(result);
        }
      }
      const rates = measured.map((list) => list.map(({ rate }) => rate));
      const ratio = rates[1] && median(rates[0].map((rate, i) => rate / rates[1][i]));
      rows.push({
        kind,
        streams,
        measured: Object.fromEntries(servers.map(({ name }, at) => [name, measured[at]])),
        ratio,
      });
      const lines = servers.map(({ name }, at) => {
        const first = 1000 * median(measured[at].map((result) => result.first));
        return `${name} ${median(rates[at]).toFixed(0)} tokens/s (${spread(rates[at])}), first token p95 ${first.toFixed(0)} ms`;
      });
      console.log(
        `${kind} ${String(streams).padStart(3)} streams  ${lines.join('  ')}${ratio ? `  ratio ${ratio.toFixed(2)}` : ''}`,
      );
    }
  }
  return rows;
}
