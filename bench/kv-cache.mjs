/**
 * What a key-value cache in 8 bits costs and saves beside one in the model's own precision: the perplexity of a text whose
 * keys and values are all read from the cache, the bytes of a position, and tokens a second after a long prompt.
 *
 *   node bench/kv-cache.mjs --model FILE.gguf --text FILE.txt [--windows 20] [--window 512] [--chunk 64] [--prompt 4096]
 *     [--tokens 64] [--repetitions 3] [--threads N] [--json FILE]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  GenerationEngine,
  greedy,
  KvCache,
  loadModel,
  ModelExecutor,
  openDevice,
  readModelSource,
  scope,
  Tokenizer,
} from '@largeforge/engine';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: process.env.LARGEFORGE_BENCH_MODEL },
    text: { type: 'string', default: process.env.LARGEFORGE_BENCH_TEXT },
    windows: { type: 'string', default: '20' },
    window: { type: 'string', default: '512' },
    chunk: { type: 'string', default: '64' },
    prompt: { type: 'string', default: '4096' },
    tokens: { type: 'string', default: '64' },
    repetitions: { type: 'string', default: '3' },
    threads: { type: 'string' },
    json: { type: 'string' },
  },
});
for (const name of ['model', 'text'])
  if (!values[name]) {
    process.stderr.write(
      `--${name}: which file? "npm run bench -- --only kv-cache" takes SmolLM2-135M and WikiText-2\n`,
    );
    process.exit(2);
  }
const [windows, window, chunk, prompt, tokens, repetitions] = [
  values.windows,
  values.window,
  values.chunk,
  values.prompt,
  values.tokens,
  values.repetitions,
].map(Number);
const threads = values.threads === undefined ? undefined : Number(values.threads);
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const types = { model: undefined, int8: 'i8' };

const device = openDevice({ library: locateLibrary(), threads });
const { name: cpu, isa, computeUnits, kvBlockSize } = device.properties;
const model = asCausal(await loadModel(device, values.model));
const tokenizer = Tokenizer.of(readModelSource(values.model));
// No more than is read: a token has four characters or so.
const characters = 8 * Math.max(windows * window, prompt);
const text = Int32Array.from(await tokenizer.encode(readFileSync(values.text, 'utf8').slice(0, characters)));

/** Sum of the losses of a window, whose tokens go through the cache `chunk` at a time. */
async function windowLoss(ids, cache) {
  const blockTable = Int32Array.from({ length: cache.blocks }, (_, i) => i);
  let total = 0;
  for (let start = 0; start < ids.length - 1; start += chunk) {
    const count = Math.min(chunk, ids.length - 1 - start);
    const each = (f) => Int32Array.from({ length: count }, (_, i) => f(start + i));
    const nll = scope(() => {
      const hidden = model.decode(
        {
          tokens: ids.slice(start, start + count),
          positions: each((i) => i),
          slots: each((i) => i),
          cuSeqlens: Int32Array.of(0, count),
          context: Int32Array.of(start + count),
          blockTable,
          maxBlocks: cache.blocks,
          outputRows: each((i) => i - start),
        },
        cache,
      );
      return model.crossEntropy(hidden, ids.slice(start + 1, start + 1 + count)).nll;
    });
    for (const loss of await nll.floats()) total += loss;
    nll.dispose();
  }
  return total;
}

async function perplexity(dtype) {
  const cache = new KvCache(device, model.config, { blocks: Math.ceil(window / kvBlockSize), dtype });
  let total = 0;
  for (let w = 0; w < windows; w++) total += await windowLoss(text.slice(w * window, (w + 1) * window), cache);
  cache.dispose();
  return Math.exp(total / (windows * (window - 1)));
}

/** Tokens a second of one sequence after a prompt. */
async function decodeRate(cacheType) {
  const engine = new GenerationEngine({
    executor: new ModelExecutor(model, { maxSequences: 1, cacheType }),
    contextLength: prompt + tokens + 1,
    eosTokenIds: [],
    decoder: () => ({ push: () => 'x', flush: () => '' }),
    limits: { prefixCache: false },
  });
  let first;
  const request = {
    promptTokens: [...text.slice(0, prompt)],
    sampling: greedy,
    maxTokens: tokens + 1,
    ignoreEos: true,
  };
  for await (const _ of engine.generate(request)) first ??= performance.now();
  const rate = (tokens * 1000) / (performance.now() - first);
  await engine.close();
  return rate;
}

const results = {};
for (const [type, dtype = model.dtype] of Object.entries(types))
  results[type] = {
    perplexity: await perplexity(dtype),
    bytes: KvCache.blockBytes(model.config, 1, dtype),
    rates: [],
  };
for (let i = 0; i < repetitions; i++)
  for (const type of Object.keys(types)) results[type].rates.push(await decodeRate(type));
for (const [type, { perplexity: value, bytes, rates }] of Object.entries(results))
  console.log(
    `${type.padEnd(6)} perplexity ${value.toFixed(4)}, ${bytes} bytes a position, ${median(rates).toFixed(1)} tokens/s after ${prompt}`,
  );
console.log(
  `${cpu}, ${isa}, ${threads ?? computeUnits} threads, ${model.dtype}; ${windows} windows of ${window}, ${chunk} tokens a step; medians of ${repetitions}`,
);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ cpu, isa, results }, null, 2)}\n`);
device[Symbol.dispose]();
