/**
 * Measures the engine beside PyTorch in one run: each repetition of ours is followed by one of each peer's, so that a
 * machine whose speed drifts drifts for all. Prints medians, spreads, ratios and peak memory with the CPU, its ISA and the
 * threads. Each row is a process of its own, so that one's memory is not another's. The ratio of processor times is what
 * other work on the machine disturbs least; with several threads that of PyTorch has its waiting in it, which spins.
 *
 *   node bench/run.mjs [--only NAME] [--json FILE] [--threads N] [--repetitions N] [--compiled]
 *
 * --compiled adds torch.compile as a peer of the training steps, which compiles for minutes first.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { locateLibrary } from '@largeforge/backend-cpu';
import { openDevice } from '@largeforge/engine';
import { PytorchPeer } from './peers/pytorch.mjs';
import { rows } from './rows.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    json: { type: 'string' },
    threads: { type: 'string' },
    repetitions: { type: 'string', default: '5' },
    compiled: { type: 'boolean', default: false },
  },
});
const repetitions = Number(values.repetitions);

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const probe = openDevice({ library: locateLibrary() });
const { name: cpu, isa, computeUnits } = probe.properties;
probe[Symbol.dispose]();
const threads = values.threads === undefined ? computeUnits : Number(values.threads);

/** What measurements say of `tokens` tokens. */
function summary(measured, tokens) {
  const seconds = measured.map((entry) => entry.seconds);
  return {
    seconds: median(seconds),
    least: Math.min(...seconds),
    most: Math.max(...seconds),
    processor: median(measured.map((entry) => entry.processor)),
    tokensPerSecond: tokens / median(seconds),
  };
}

async function startPeers(row) {
  const modes = values.compiled && /^(lora|full) /.test(row.peer) ? [[], ['compile']] : [[]];
  const started = [];
  for (const mode of modes) {
    const process = await PytorchPeer.start(threads, 'pytorch.py', ...mode);
    if (process) started.push({ process, measured: [], peakBytes: 0 });
  }
  return started;
}

async function measure(row) {
  const device = openDevice({ library: locateLibrary(), threads });
  const ours = [];
  const peers = await startPeers(row);
  await row.measure(
    device,
    async (time, index) => {
      // The first repetition packs weights and fills caches, on all sides.
      if (index > 0) ours.push(time);
      for (const peer of peers) {
        const answer = await peer.process.answer(row.peer);
        peer.peakBytes = answer.peak;
        if (index > 0) peer.measured.push(answer);
      }
    },
    repetitions + 1,
  );
  device[Symbol.dispose]();
  for (const { process } of peers) process.stop();
  return {
    name: row.name,
    tokens: row.tokens,
    ours: { ...summary(ours, row.tokens), peakBytes: process.resourceUsage().maxRSS * 1024 },
    peers: peers.map(({ process: { name }, measured, peakBytes }) => {
      const ratio = (key) => median(measured.map((theirs, i) => theirs[key] / ours[i][key]));
      return {
        name,
        ...summary(measured, row.tokens),
        peakBytes,
        ratio: ratio('seconds'),
        processorRatio: ratio('processor'),
      };
    }),
  };
}

function print({ name, ours, peers }) {
  const side = (who, { tokensPerSecond, seconds, least, most, processor, peakBytes }) =>
    `${who} ${tokensPerSecond.toFixed(0)} tokens/s (${seconds.toFixed(3)} s, ${least.toFixed(3)}-${most.toFixed(3)}; ${processor.toFixed(3)} s of processors), ${(peakBytes / 1e9).toFixed(2)} GB`;
  console.log(`${name.padEnd(18)} ${side('largeforge', ours)}`);
  for (const peer of peers)
    console.log(
      `${''.padEnd(18)} ${side(peer.name, peer)}  ratio ${peer.ratio.toFixed(2)}, of processor time ${peer.processorRatio.toFixed(2)}`,
    );
}

/** Measures a row in a process of its own, which prints what it measured. */
function measureApart({ name }) {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-bench-'));
  try {
    const file = join(folder, 'row.json');
    const args = ['--only', name, '--json', file, '--threads', String(threads), '--repetitions', values.repetitions];
    if (values.compiled) args.push('--compiled');
    const { status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args], { stdio: 'inherit' });
    if (status !== 0) process.exit(status ?? 1);
    return JSON.parse(readFileSync(file, 'utf8')).results[0];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

let results;
if (values.only === undefined) {
  results = rows.map(measureApart);
} else {
  const row = rows.find(({ name }) => name === values.only);
  if (!row) {
    process.stderr.write(`there is no row "${values.only}"; rows: ${rows.map(({ name }) => name).join(', ')}\n`);
    process.exit(2);
  }
  results = [await measure(row)];
  print(results[0]);
  console.log(`${cpu}, ${isa}, ${threads} threads, Node ${process.versions.node}; medians of ${repetitions}`);
}
if (values.json !== undefined) {
  const date = new Date().toISOString();
  writeFileSync(values.json, `${JSON.stringify({ date, cpu, isa, threads, results }, null, 2)}\n`);
}
