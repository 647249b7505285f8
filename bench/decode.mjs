/**
 * Decoding of one sequence: tokens a second after the first, of our engine on a GGUF file in its own bits and of llama.cpp
 * on the same file, one after the other in each repetition. Both take the likeliest token each time. With --prompt it is a
 * prompt of that many tokens to its first token instead.
 *
 *   node bench/decode.mjs [--model FILE.gguf] [--tokens 128] [--prompt N] [--threads N] [--repetitions 5] [--json FILE]
 *
 * Beside the time that passed it gives the processor time of each side's process, which other work on the machine disturbs
 * less. With several threads that of llama.cpp includes its waiting, which spins.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  createGenerationEngine,
  greedy,
  loadModel,
  openDevice,
  readModelSource,
  Tokenizer,
} from '@largeforge/engine';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: process.env.LARGEFORGE_BENCH_MODEL },
    tokens: { type: 'string', default: '128' },
    prompt: { type: 'string' },
    threads: { type: 'string' },
    repetitions: { type: 'string', default: '5' },
    json: { type: 'string' },
  },
});
if (!values.model) {
  process.stderr.write('--model: which GGUF file? "npm run bench -- --only decode" takes that of SmolLM2-135M\n');
  process.exit(2);
}
const work = values.prompt === undefined ? 'decode' : 'prefill';
const count = Number(values.prompt ?? values.tokens);
const repetitions = Number(values.repetitions);
const threads = values.threads === undefined ? undefined : Number(values.threads);
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const loadStart = performance.now();
const device = openDevice({ library: locateLibrary(), threads });
const { name: cpu, isa, computeUnits } = device.properties;
const model = asCausal(await loadModel(device, values.model, { weights: 'as-stored' }));
model.prepare();
await device.flush();
const loadSeconds = (performance.now() - loadStart) / 1000;
const weights = device.memory().allocated;
const tokenizer = Tokenizer.of(readModelSource(values.model));
// Each prompt comes once: nothing is kept for those that begin alike.
const engine = createGenerationEngine({ model, tokenizer, limits: { prefixCache: false } });
const promptTokens = [...(await tokenizer.encode('The capital of France is'))];

/** One line in, one answer out; undefined when llama-cpp-python is not installed. */
async function startPeer() {
  const script = fileURLToPath(new URL('peers/llama.py', import.meta.url));
  const args = [script, values.model, String(threads ?? computeUnits), JSON.stringify(promptTokens)];
  const child = spawn(process.env.LARGEFORGE_LLAMA_PYTHON ?? 'python3', args, { stdio: ['pipe', 'pipe', 'ignore'] });
  child.on('error', () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done) return undefined;
  const run = async () => {
    child.stdin.write(`${work} ${count}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error('llama.cpp ended while it worked');
    return JSON.parse(value);
  };
  const { peer: name, load } = JSON.parse(first.value);
  return { name, load, run, stop: () => child.stdin.end('quit\n') };
}

/** A prompt to its first token. */
async function prefill(round) {
  const vocabulary = model.config.vocabSize;
  const prompt = Array.from({ length: count }, (_, i) => 1 + ((i * 7919 + round) % (vocabulary - 1)));
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  for await (const _ of engine.generate({ promptTokens: prompt, maxTokens: 1, ignoreEos: true, sampling: greedy }));
  const { user, system } = process.cpuUsage(cpuStart);
  return { seconds: (performance.now() - start) / 1000, processor: (user + system) / 1e6 };
}

async function decode() {
  let start;
  let cpuStart;
  const request = { promptTokens, maxTokens: count + 1, ignoreEos: true, sampling: greedy };
  for await (const _ of engine.generate(request)) {
    if (start !== undefined) continue;
    start = performance.now();
    cpuStart = process.cpuUsage();
  }
  const { user, system } = process.cpuUsage(cpuStart);
  return { seconds: (performance.now() - start) / 1000, processor: (user + system) / 1e6 };
}

const peer = await startPeer();
const ours = [];
const theirs = [];
for (let i = 0; i <= repetitions; i++) {
  const own = work === 'prefill' ? await prefill(i) : await decode();
  const other = await peer?.run();
  // The first repetition fills caches, on both sides.
  if (i === 0) continue;
  ours.push(own);
  if (other) theirs.push(other);
}
peer?.stop();
const peakBytes = process.resourceUsage().maxRSS * 1024;
await engine.close();
device[Symbol.dispose]();

const of = (list, key) => median(list.map((entry) => entry[key]));
const describe = (name, list) =>
  `${name}: ${(count / of(list, 'seconds')).toFixed(1)} tokens/s, ${((of(list, 'processor') / count) * 1000).toFixed(2)} ms of processor time a token`;
const ratio = (key) => median(theirs.map((entry, i) => entry[key] / ours[i][key]));
console.log(describe('largeforge', ours));
if (peer) {
  console.log(describe(peer.name, theirs));
  console.log(`ratio ${ratio('seconds').toFixed(2)}, of processor time ${ratio('processor').toFixed(2)}`);
} else console.log('llama-cpp-python is not installed: no ratio');
const memory = (bytes, seconds) => `${(bytes / 1e6).toFixed(0)} MB at most, loaded in ${seconds.toFixed(2)} s`;
console.log(`largeforge: ${memory(peakBytes, loadSeconds)}; packed weights ${(weights / 1e6).toFixed(0)} MB`);
if (peer) console.log(`${peer.name}: ${memory(theirs.at(-1).peak, peer.load)}`);
console.log(`${cpu}, ${isa}, ${threads ?? computeUnits} threads; medians of ${repetitions}, ${count} tokens each`);
if (values.json !== undefined) {
  const result = {
    ...{ date: new Date().toISOString(), cpu, isa, threads: threads ?? computeUnits, work, count },
    ...{ ours, theirs, loadSeconds, peakBytes, peerLoadSeconds: peer?.load },
  };
  writeFileSync(values.json, `${JSON.stringify({ ...result, peer: peer?.name, weights }, null, 2)}\n`);
}
