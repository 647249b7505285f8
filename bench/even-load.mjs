/**
 * Whether load on equal experts evens out: two servers of one model, each a process of its own, behind a router. Clients
 * who know nothing of the router keep the first one busy. Then others ask for `model: "auto"`, and, for comparison, take
 * the two in turns. Prints how many requests each expert got and how long they took.
 *
 *   node bench/even-load.mjs [--model examples/quickstart/base] [--requests 120]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, percentile } from './clinc150.mjs';
import { servedConfig } from './served-config.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: fileURLToPath(new URL('../examples/quickstart/base', import.meta.url)) },
    requests: { type: 'string', default: '120' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'largeforge-even-load-'));
const servers = [];
async function started(more) {
  const server = await servedConfig(join(folder, `${servers.length}.json`), more);
  servers.push(server);
  return server.url;
}
const ask = async (url, model, maxTokens = 40) => {
  const body = {
    model,
    max_tokens: maxTokens,
    messages: [{ role: 'user', content: 'put oat milk on the shopping list' }],
  };
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()).model;
};

try {
  const a = await started({ models: [{ path: values.model, id: 'a' }] });
  const b = await started({ models: [{ path: values.model, id: 'b' }] });
  const examples = ['put something on the shopping list'];
  const experts = [
    { name: 'a', url: `${a}/v1`, examples },
    { name: 'b', url: `${b}/v1`, examples },
  ];
  const front = await started({
    plugins: [['@largeforge/router-hybrid', { experts }]],
    models: [{ path: values.model, id: 'unused' }],
  });
  let over = false;
  const busy = Array.from({ length: 6 }, async () => {
    while (!over) await ask(a, 'a', 100);
  });
  for (const [name, modelOf] of [
    ['by the router', () => 'auto'],
    ['in turns', (i) => (i % 2 === 0 ? 'a' : 'b')],
  ]) {
    const [times, given] = [[], []];
    let next = 0;
    // Kernels, connections and times of the first requests say nothing of the rest.
    for (const expert of ['a', 'b']) await ask(front, expert);
    const worker = async () => {
      while (next < Number(values.requests)) {
        const model = modelOf(next++);
        const start = performance.now();
        given.push(await ask(front, model));
        times.push(performance.now() - start);
      }
    };
    await Promise.all(Array.from({ length: 4 }, worker));
    const count = (expert) => given.filter((model) => model === expert).length;
    const [mean, p99] = [median(times), percentile(times, 0.99)];
    console.log(
      `${name}: a, which is busy, ${count('a')}, b ${count('b')}; p50 ${mean.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`,
    );
  }
  over = true;
  await Promise.all(busy);
} finally {
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(folder, { recursive: true });
}
