/**
 * Measures the engine beside PyTorch in one run: each repetition of ours is followed by one of the peer's, so that a
 * machine whose speed drifts drifts for both. Prints medians, spreads and ratios with the CPU, its ISA and the threads.
 *
 *   node bench/run.mjs [--only NAME] [--json FILE] [--threads N] [--repetitions N]
 */
import { writeFileSync } from 'node:fs';
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
  },
});
const repetitions = Number(values.repetitions);
const chosen = rows.filter((row) => values.only === undefined || row.name === values.only);
if (chosen.length === 0) {
  process.stderr.write(`there is no row "${values.only}"; rows: ${rows.map((row) => row.name).join(', ')}\n`);
  process.exit(2);
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const spread = (list) => `${Math.min(...list).toFixed(3)}-${Math.max(...list).toFixed(3)}`;

const probe = openDevice({ library: locateLibrary() });
const { name: cpu, isa, computeUnits } = probe.properties;
probe[Symbol.dispose]();
const threads = values.threads === undefined ? computeUnits : Number(values.threads);
const results = [];

for (const row of chosen) {
  const device = openDevice({ library: locateLibrary(), threads });
  const ours = [];
  const theirs = [];
  const peer = await PytorchPeer.start(threads);
  await row.measure(
    device,
    async (seconds, index) => {
      // The first repetition packs weights and fills caches, on both sides.
      const peerSeconds = peer && (await peer.run(row.peer));
      if (index === 0) return;
      ours.push(seconds);
      if (peer) theirs.push(peerSeconds);
    },
    repetitions + 1,
  );
  const peakBytes = device.memory().peak;
  device[Symbol.dispose]();
  peer?.stop();
  results.push({
    name: row.name,
    tokens: row.tokens,
    ours: {
      seconds: median(ours),
      spread: spread(ours),
      tokensPerSecond: row.tokens / median(ours),
      deviceBytes: peakBytes,
    },
    peer: peer && {
      name: peer.name,
      seconds: median(theirs),
      spread: spread(theirs),
      tokensPerSecond: row.tokens / median(theirs),
    },
    ratio: peer && median(theirs.map((seconds, i) => seconds / ours[i])),
  });
  print(results.at(-1));
}

function print({ name, ours, peer, ratio }) {
  const side = (who, { tokensPerSecond, seconds, spread: range }) =>
    `${who} ${tokensPerSecond.toFixed(0)} tokens/s (${seconds.toFixed(3)} s, ${range})`;
  const theirs = peer ? `${side(peer.name, peer)}  ratio ${ratio.toFixed(2)}` : 'PyTorch is not installed';
  console.log(`${name.padEnd(14)} ${side('largeforge', ours)}  ${theirs}`);
}

console.log(`${cpu}, ${isa}, ${threads} threads, Node ${process.versions.node}; medians of ${repetitions}`);
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ date: new Date().toISOString(), cpu, isa, threads, results }, null, 2)}\n`,
  );
}
