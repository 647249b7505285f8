/**
 * How long decisions take in a server that generates all the while: one process, whose model computes on one thread and
 * whose sentence encoder on another, 50 experts and 10,000 keywords. A client streams answers without a pause; another
 * asks POST /route. Prints p50 and p99 of the decision, as the decision log has it, and of the whole request.
 *
 *   node bench/route-while-serving.mjs --encoder FOLDER --model FILE.gguf --data FOLDER [--queries 300] [--router FOLDER]
 *
 * `--router` is where the trained router is kept, or was by an earlier run.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { locateLibrary } from '@largeforge/backend-cpu';
import { readModelSource, Tokenizer } from '@largeforge/engine';
import { EngineSentenceEncoder, saveRouter, trainRouter } from '@largeforge/router-hybrid';
import { clinc150, median, percentile, queriesOf } from './clinc150.mjs';
import { servedConfig } from './served-config.mjs';

const { values } = parseArgs({
  options: {
    encoder: { type: 'string' },
    model: { type: 'string' },
    data: { type: 'string', default: process.env.LARGEFORGE_TEST_DATA ?? '../shared/data' },
    queries: { type: 'string', default: '300' },
    router: { type: 'string' },
  },
});
if (!values.encoder || !values.model) {
  process.stderr.write('--encoder: the folder of a sentence encoder; --model: the model that generates meanwhile\n');
  process.exit(2);
}
/** Decisions before those that count: what a server that runs for a while has behind it. */
const warmUp = 100;
const folder = mkdtempSync(join(tmpdir(), 'largeforge-route-while-serving-'));
const { train, validation, texts, fiftyExperts } = clinc150(values.data);
const routerFolder = values.router ?? join(folder, 'router');
if (!existsSync(routerFolder)) {
  const encoder = await EngineSentenceEncoder.open(values.encoder, { library: locateLibrary(), threads: 1 });
  const { router } = await trainRouter({ train, validation, encoder: { path: values.encoder, model: encoder } });
  await saveRouter(routerFolder, router);
  await encoder.close();
}

const log = join(folder, 'decisions.jsonl');
const routing = { router: resolve(routerFolder), decisionLog: { file: log }, experts: fiftyExperts };
const server = await servedConfig(join(folder, 'config.json'), {
  plugins: [['@largeforge/router-hybrid', routing]],
  models: [{ path: resolve(values.model), id: 'busy' }],
});
try {
  const { url } = server;
  const post = (path, body) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  let over = false;
  let chunks = 0;
  const stream = async () => {
    while (!over) {
      const messages = [{ role: 'user', content: 'Tell a long story of a ship.' }];
      const answer = await post('/v1/chat/completions', { model: 'busy', stream: true, max_tokens: 256, messages });
      for await (const _ of answer.body) {
        chunks++;
        if (over) break;
      }
    }
  };
  const tokenizer = Tokenizer.of(readModelSource(values.encoder));
  for (const busy of [false, true]) {
    const streaming = busy ? stream() : undefined;
    for (const tokens of [16, 32, 64]) {
      const queries = await queriesOf(texts, tokenizer, tokens, Number(values.queries) + warmUp);
      const [before, start] = [chunks, performance.now()];
      const whole = [];
      const ids = new Set();
      for (const [i, query] of queries.entries()) {
        const begun = performance.now();
        const response = await post('/route', { query });
        await response.json();
        if (i < warmUp) continue;
        whole.push(performance.now() - begun);
        ids.add(response.headers.get('x-largeforge-decision'));
      }
      const rate = (1000 * (chunks - before)) / (performance.now() - start);
      // The log is written behind the answers.
      await new Promise((resolve) => setTimeout(resolve, 200));
      const times = readFileSync(log, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter(({ id }) => ids.has(id))
        .map(({ milliseconds }) => milliseconds);
      const show = (list) => `p50 ${median(list).toFixed(2)}, p99 ${percentile(list, 0.99).toFixed(2)} ms`;
      const meanwhile = busy ? `generating ${rate.toFixed(0)} chunks/s` : 'idle';
      console.log(
        `${meanwhile}, ${tokens} tokens: decision ${show(times)}; whole request ${show(whole)} (${times.length})`,
      );
    }
    over = busy;
    await streaming;
  }
} finally {
  await server.stop();
  rmSync(folder, { recursive: true });
}
