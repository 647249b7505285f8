/**
 * Measures steps of preference training beside TRL, alternating in one run: DPO and ORPO with LoRA r 16 on all linear layers
 * of a model of the shape of SmolLM2-135M, bf16, pairs of different lengths. Prints medians, ratios and peak memory of both
 * processes.
 *
 *   node bench/preferences.mjs dpo|orpo [--threads N] [--repetitions N]
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  attachLora,
  createModel,
  memoryRows,
  openDevice,
  PhiloxStream,
  train,
  trainingOptions,
} from '@largeforge/engine';
import { dpoMethod } from '../plugins/trainer-dpo/dist/dpo/method.js';
import { orpoMethod } from '../plugins/trainer-dpo/dist/orpo/method.js';
import { pairObjective } from '../plugins/trainer-dpo/dist/pair-objective.js';
import { adapterOff } from '../plugins/trainer-dpo/dist/reference/reference.js';
import { PytorchPeer } from './peers/pytorch.mjs';
import { shape } from './rows.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { threads: { type: 'string' }, repetitions: { type: 'string', default: '3' } },
});
const [method] = positionals;
const repetitions = Number(values.repetitions);

/** Four pairs as a step has them: prompts and answers of chats. */
const lengths = [
  { prompt: 96, chosen: 256, rejected: 128 },
  { prompt: 64, chosen: 96, rejected: 192 },
  { prompt: 160, chosen: 64, rejected: 96 },
  { prompt: 48, chosen: 160, rejected: 224 },
];
const tokens = lengths.reduce((sum, { prompt, chosen, rejected }) => sum + 2 * prompt + chosen + rejected, 0);

function side(prompt, answer, stream) {
  const random = new PhiloxStream(7, stream);
  const length = prompt + answer;
  return {
    tokens: Int32Array.from({ length }, () => random.below(shape.vocab_size)),
    mask: Uint8Array.from({ length }, (_, t) => (t < prompt ? 0 : 1)),
  };
}

const pairs = lengths.map(({ prompt, chosen, rejected }, i) => ({
  chosen: side(prompt, chosen, 2 * i),
  rejected: side(prompt, rejected, 2 * i + 1),
}));

const device = openDevice({
  library: locateLibrary(),
  ...(values.threads === undefined ? {} : { threads: Number(values.threads) }),
});
const { name: cpu, isa, computeUnits } = device.properties;
const peer = await PytorchPeer.start(computeUnits, 'preferences.py', method, JSON.stringify(lengths));
const model = asCausal(createModel(device, shape, { dtype: 'bf16' }));
attachLora(model, { r: 16, alpha: 32, targetModules: 'all-linear' });
const objective =
  method === 'dpo'
    ? pairObjective(
        model,
        dpoMethod({
          loss: 'sigmoid',
          beta: 0.1,
          labelSmoothing: 0,
          discopopTau: 0.05,
          fDivergence: 'reverse_kl',
          fAlpha: 0.5,
        }),
        adapterOff(model),
      )
    : pairObjective(model, orpoMethod({ beta: 0.1 }));
const ours = [];
const theirs = [];
let start = performance.now();
await train({
  model,
  objective,
  rows: memoryRows(pairs, (pair) => pair.chosen.tokens.length + pair.rejected.tokens.length, 'bench'),
  options: trainingOptions.parse({
    maxSteps: repetitions + 1,
    batchSize: lengths.length,
    order: 'sequential',
    optimizer: { learningRate: 1e-4 },
    schedule: { type: 'constant', warmupSteps: 0 },
  }),
  onEvent: async (event) => {
    if (event.type !== 'step') return;
    await device.flush();
    const seconds = (performance.now() - start) / 1000;
    const peerSeconds = await peer?.run('step');
    // The first step packs weights and fills caches, on both sides.
    if (event.step > 1) {
      ours.push(seconds);
      if (peer) theirs.push(peerSeconds);
    }
    start = performance.now();
  },
});
const peerBytes = (await peer?.finish())?.peakBytes;
device[Symbol.dispose]();

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB at most`;
const line = (who, list, bytes) =>
  `${who} ${(tokens / median(list)).toFixed(0)} tokens/s (${median(list).toFixed(2)} s, ${Math.min(...list).toFixed(2)}-${Math.max(...list).toFixed(2)}), ${megabytes(bytes)}`;
console.log(`${method}, 4 pairs, ${tokens} tokens a step: ${line('largeforge', ours, peak)}`);
if (peer) {
  console.log(
    `${line('TRL', theirs, peerBytes)}; ratio ${median(theirs.map((seconds, i) => seconds / ours[i])).toFixed(2)}`,
  );
}
console.log(`${cpu}, ${isa}, ${computeUnits} threads, Node ${process.versions.node}; medians of ${repetitions}`);
