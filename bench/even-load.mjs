/**
 * Whether uneven load on equal experts evens out: two servers that each answer two requests at a time, 50 ms each, behind a
 * router in a process of its own. Clients who know nothing of the router keep the first one busy. Then others ask for
 * `model: "auto"`, and, for comparison, take the two in turns. Prints how many requests each expert got, how many were at
 * each in the mean, those of the others counted, and how long they took.
 *
 *   node bench/even-load.mjs [--model examples/quickstart/base] [--requests 400]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, percentile } from './clinc150.mjs';
import { servedConfig } from './served-config.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: fileURLToPath(new URL('../examples/quickstart/base', import.meta.url)) },
    requests: { type: 'string', default: '400' },
  },
});
const workers = 2;
const milliseconds = 50;
const othersAtOnce = 4;
const clients = 6;

/** An expert: requests beyond its workers wait their turn. */
class Expert {
  active = 0;
  waiting = [];
  free = workers;

  async answer() {
    this.active++;
    if (this.free > 0) this.free--;
    else await new Promise((resolve) => this.waiting.push(resolve));
    await sleep(milliseconds);
    const next = this.waiting.shift();
    if (next) next();
    else this.free++;
    this.active--;
  }

  async listen() {
    this.server = createServer(async (request, response) => {
      request.resume();
      response.setHeader('content-type', 'application/json');
      if (request.url.endsWith('/models')) return response.end(JSON.stringify({ data: [{ id: 'm' }] }));
      await this.answer();
      response.end(
        JSON.stringify({ model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'ok' } }] }),
      );
    });
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${this.server.address().port}/v1`;
  }
}

const ask = async (url, model) => {
  const response = await fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'put oat milk on the shopping list' }] }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()).model;
};

const folder = mkdtempSync(join(tmpdir(), 'largeforge-even-load-'));
const pair = [new Expert(), new Expert()];
const [a, b] = [await pair[0].listen(), await pair[1].listen()];
const examples = ['put something on the shopping list'];
const experts = [
  { name: 'a', url: a, model: 'm', examples },
  { name: 'b', url: b, model: 'm', examples },
];
const front = await servedConfig(join(folder, 'config.json'), {
  plugins: [['@largeforge/router-hybrid', { experts }]],
  models: [{ path: values.model, id: 'unused' }],
});
let over = false;
const others = Array.from({ length: othersAtOnce }, async () => {
  while (!over) await ask(a, 'm');
});
try {
  for (const [name, modelOf] of [
    ['in turns', (i) => (i % 2 === 0 ? 'a' : 'b')],
    ['by the router', () => 'auto'],
  ]) {
    const [times, given, seen] = [[], [], [[], []]];
    const sampled = setInterval(() => {
      for (const [i, expert] of pair.entries()) seen[i].push(expert.active);
    }, 10);
    // Connections and times of the first requests say nothing of the rest.
    for (const expert of ['a', 'b']) await ask(`${front.url}/v1`, expert);
    let next = 0;
    const client = async () => {
      while (next < Number(values.requests)) {
        const model = modelOf(next++);
        const start = performance.now();
        given.push(await ask(`${front.url}/v1`, model));
        times.push(performance.now() - start);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    clearInterval(sampled);
    const count = (expert) => given.filter((model) => model === expert).length;
    const mean = (list) => (list.reduce((sum, value) => sum + value, 0) / list.length).toFixed(1);
    console.log(
      `${name}: a, which others use, ${count('a')}, b ${count('b')}; at once at a ${mean(seen[0])}, at b ${mean(seen[1])};` +
        ` p50 ${median(times).toFixed(0)} ms, p99 ${percentile(times, 0.99).toFixed(0)} ms`,
    );
  }
} finally {
  over = true;
  await Promise.allSettled(others);
  await front.stop();
  for (const { server } of pair) {
    server.close();
    server.closeAllConnections();
  }
  rmSync(folder, { recursive: true });
}
