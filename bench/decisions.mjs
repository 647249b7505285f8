/**
 * How long the router takes to decide: p50 and p99 of single queries by their length, with 150 classes, and with 50 experts
 * and 10,000 keywords; decisions a second in batches; and keywords alone by their number. With the built-in n-grams and
 * with a sentence encoder on one thread, beside transformers with a linear head, one after the other on each query. With --load the other core generates
 * text all the while.
 *
 *   node bench/decisions.mjs --encoder FOLDER --data FOLDER [--queries 400] [--load FILE.gguf] [--json FILE]
 *
 * `--data` holds clinc150/data_full.json: queries of 150 intents.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { locateLibrary } from '@largeforge/backend-cpu';
import { openDevice, readModelSource, Tokenizer } from '@largeforge/engine';
import { EngineSentenceEncoder, Router, trainRouter } from '@largeforge/router-hybrid';
import { clinc150, median, percentile, queriesOf } from './clinc150.mjs';
import { PytorchPeer } from './peers/pytorch.mjs';

const { values } = parseArgs({
  options: {
    encoder: { type: 'string', default: process.env.LARGEFORGE_BENCH_ENCODER },
    data: { type: 'string', default: process.env.LARGEFORGE_TEST_DATA ?? '../shared/data' },
    queries: { type: 'string', default: '400' },
    load: { type: 'string' },
    json: { type: 'string' },
  },
});
if (!values.encoder) {
  process.stderr.write(
    '--encoder: the folder of which sentence encoder? "npm run bench -- --only decisions" takes MiniLM\n',
  );
  process.exit(2);
}
const count = Number(values.queries);
const batch = 64;
/** Decisions before those that count: what a server that runs for a while has behind it. */
const warmUp = 100;

const { train, validation, texts, intents, fiftyExperts } = clinc150(values.data);
const tokenizer = Tokenizer.of(readModelSource(values.encoder));

const encoder = await EngineSentenceEncoder.open(values.encoder, { library: locateLibrary(), threads: 1 });
const builtIn = await trainRouter({ train, validation });
const withEncoder = await trainRouter({ train, validation, encoder: { path: values.encoder, model: encoder } });
const plain = intents.map((name) => ({ name }));
const cases = [
  ['built-in n-grams, 150 intents', new Router(builtIn.router), plain],
  ['MiniLM, 150 intents', new Router(withEncoder.router, encoder), plain],
  ['MiniLM, 50 experts, 10,000 keywords', new Router(withEncoder.router, encoder), fiftyExperts],
];

const peer = await PytorchPeer.start(1, 'encoder.py', values.encoder, '151');
const ask = (queries) => peer?.run(JSON.stringify({ texts: queries }));
const load =
  values.load === undefined
    ? undefined
    : spawn(
        process.execPath,
        ['bench/decode.mjs', '--model', values.load, '--threads', '1', '--repetitions', '100000'],
        {
          stdio: 'ignore',
          env: { ...process.env, LARGEFORGE_LLAMA_PYTHON: '/nonexistent' },
        },
      );
const results = [];
try {
  for (const tokens of [16, 32, 64]) {
    const queries = await queriesOf(texts, tokenizer, tokens, count);
    for (const [name, router, panel] of cases) {
      await router.prepare(panel);
      for (const query of queries.slice(0, warmUp)) await router.decide(query, { experts: panel });
      const compared = name === 'MiniLM, 150 intents' && peer;
      const [ours, theirs] = [[], []];
      for (const query of queries) {
        const start = performance.now();
        await router.decide(query, { experts: panel });
        ours.push(performance.now() - start);
        if (compared) theirs.push(1000 * (await ask([query])));
      }
      const ratio = compared ? median(theirs.map((value, i) => value / ours[i])) : undefined;
      results.push({ name, tokens, p50: median(ours), p99: percentile(ours, 0.99), peerP50: median(theirs), ratio });
      const against =
        ratio === undefined ? '' : `; ${peer.name} p50 ${median(theirs).toFixed(2)} ms, ratio ${ratio.toFixed(2)}`;
      const [p50, p99] = [median(ours), percentile(ours, 0.99)];
      console.log(`${name}, ${tokens} tokens: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms${against}`);
    }
  }
  for (const [name, router, panel] of cases) {
    const [ours, theirs] = [[], []];
    for (let at = 0; at + batch <= Math.min(texts.length, 2 * count); at += batch) {
      const part = texts.slice(at, at + batch);
      const start = performance.now();
      await router.decideAll(part, { experts: panel });
      ours.push((1000 * batch) / (performance.now() - start));
      if (name.startsWith('MiniLM, 150')) theirs.push(batch / ((await ask(part)) ?? Number.NaN));
    }
    const ratio = theirs.length > 0 && peer ? median(ours.map((value, i) => value / theirs[i])) : undefined;
    results.push({ name, batch, perSecond: median(ours), peerPerSecond: median(theirs), ratio });
    const against = ratio === undefined ? '' : `; ${peer.name} ${median(theirs).toFixed(0)}, ratio ${ratio.toFixed(2)}`;
    console.log(`${name}, batches of ${batch}: ${median(ours).toFixed(0)} decisions/s${against}`);
  }
  for (const terms of [10, 100, 10_000]) {
    const rules = Array.from({ length: terms }, (_, i) => ({ term: `keyword ${i}` }));
    const router = new Router(undefined, undefined, { strategy: 'keyword' });
    const panel = [{ name: 'known', keywords: rules }];
    await router.prepare(panel);
    const queries = await queriesOf(texts, tokenizer, 32, count);
    const ours = [];
    for (const query of [...queries, ...queries]) {
      const start = performance.now();
      await router.decide(query, { experts: panel });
      ours.push(performance.now() - start);
    }
    const warm = ours.slice(count);
    results.push({ name: 'keywords alone', terms, p50: median(warm), p99: percentile(warm, 0.99) });
    console.log(
      `keywords alone, ${terms}: p50 ${median(warm).toFixed(3)} ms, p99 ${percentile(warm, 0.99).toFixed(3)} ms`,
    );
  }
} finally {
  load?.kill();
  peer?.stop();
  await encoder.close();
}
const device = openDevice({ library: locateLibrary() });
const { name: cpu, isa } = device.properties;
device[Symbol.dispose]();
console.log(
  `${cpu}, ${isa}, encoder on one thread${load ? ', another process generating on one' : ''}; ${count} queries each`,
);
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ date: new Date().toISOString(), cpu, isa, load: values.load, results }, null, 2)}\n`,
  );
}
