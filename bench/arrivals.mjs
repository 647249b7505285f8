/**
 * How long requests wait, and how many a server takes:
 * - time to the first token of prompts of 128 tokens that arrive at random (Poisson), at half of the rate that the server can do;
 * - requests a second of 8 new tokens on the small model of the quickstart.
 *
 *   node bench/arrivals.mjs --model FILE.gguf [--small FOLDER] [--requests 120] [--seconds 10] [--clients 32] [--json FILE]
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, percentile, randomOf, stream, words } from './completion-client.mjs';
import { startOurs } from './servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: process.env.LARGEFORGE_BENCH_MODEL },
    small: { type: 'string', default: fileURLToPath(new URL('../examples/quickstart/base', import.meta.url)) },
    requests: { type: 'string', default: '120' },
    seconds: { type: 'string', default: '10' },
    clients: { type: 'string', default: '32' },
    json: { type: 'string' },
  },
});
const PROMPT_TOKENS = 128;
const NEW_TOKENS = 32;
const clients = Number(values.clients);

/** As many requests as the server answers, with so many clients that ask one after the other. */
async function closedLoop(seconds, send) {
  const end = performance.now() + 1000 * seconds;
  const begin = performance.now();
  let done = 0;
  const client = async () => {
    while (performance.now() < end) {
      await send(done + 1);
      done++;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return done / ((performance.now() - begin) / 1000);
}

/** Requests at the moments of a Poisson process; their times to the first token in milliseconds. */
async function poisson(rate, count, send) {
  const random = randomOf(3);
  const running = [];
  let due = performance.now();
  for (let i = 0; i < count; i++) {
    due += (-Math.log(1 - random()) / rate) * 1000;
    await sleep(Math.max(0, due - performance.now()));
    running.push(send(i));
  }
  return (await Promise.all(running)).map(({ first }) => 1000 * first);
}

const results = {};
console.log(cpus()[0].model.trim());
if (values.model) {
  const server = await startOurs(values.model);
  try {
    const send = (i) => stream(server, words(PROMPT_TOKENS - 1, randomOf(10_000 + i)), NEW_TOKENS);
    await Promise.all(Array.from({ length: 8 }, (_, i) => send(-i)));
    const capacity = await closedLoop(Number(values.seconds), send);
    const firsts = await poisson(capacity / 2, Number(values.requests), (i) => send(1_000_000 + i));
    results.firstToken = { capacity, p50: median(firsts), p95: percentile(firsts, 0.95), most: Math.max(...firsts) };
    console.log(
      `first token, ${PROMPT_TOKENS} in / ${NEW_TOKENS} out, Poisson arrivals at ${(capacity / 2).toFixed(1)} of ${capacity.toFixed(1)} requests/s: ` +
        `p50 ${median(firsts).toFixed(0)} ms, p95 ${percentile(firsts, 0.95).toFixed(0)} ms, most ${Math.max(...firsts).toFixed(0)} ms`,
    );
  } finally {
    await server.stop();
  }
}
const server = await startOurs(values.small);
try {
  const send = (i) => stream(server, words(8, randomOf(i)), 8);
  await closedLoop(2, send);
  const rates = [];
  for (let i = 0; i < 3; i++) rates.push(await closedLoop(Number(values.seconds) / 2, send));
  results.requests = { rates, clients, peakMiB: server.memory() };
  console.log(
    `requests of 8 new tokens on the small model, ${clients} clients: ${median(rates).toFixed(0)} a second ` +
      `(${rates.map((rate) => rate.toFixed(0)).join(', ')}), ${server.memory().toFixed(0)} MiB at most`,
  );
} finally {
  await server.stop();
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
process.exit(0);
