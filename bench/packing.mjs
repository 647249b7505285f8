/**
 * Tokenise and pack: rows a second from a file of JSON lines to packed rows of tokens on disk, ours beside `datasets.map` with
 * TRL's `pack_dataset`, both by best-fit decreasing into 512 tokens, on as many threads.
 *
 *   node bench/packing.mjs --tokenizer FOLDER [--rows 1000000] [--threads N] [--json FILE]
 */
import { spawnSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { packBestFitDecreasing, readModelSource, Tokenizer } from '@largeforge/engine';
// Not of the package's surface: a benchmark may look inside.
import { builtInFormats } from '../plugins/data/dist/formats/index.js';
import { dataOptions } from '../plugins/data/dist/options.js';
import { prepareData } from '../plugins/data/dist/prepare.js';
import { exampleRows } from '../plugins/data/dist/row-shape.js';
import { workerPool } from '../plugins/data/dist/tokenise/pool.js';
import { randomOf, words } from './completion-client.mjs';

const { values } = parseArgs({
  options: {
    tokenizer: { type: 'string', default: process.env.LARGEFORGE_BENCH_FOLDER },
    rows: { type: 'string', default: '1000000' },
    threads: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'string' },
  },
});
const LENGTH = 512;
const rows = Number(values.rows);
const threads = Number(values.threads);
const folder = mkdtempSync(join(tmpdir(), 'largeforge-packing-'));
const file = join(folder, 'rows.jsonl');

async function writeRows() {
  const random = randomOf(1);
  const out = createWriteStream(file);
  for (let i = 0; i < rows; i++) {
    const text = `${i}: ${words(8 + Math.floor(24 * random()), random)}.`;
    if (!out.write(`{"text": "${text}"}\n`)) await new Promise((resolve) => out.once('drain', resolve));
  }
  out.end();
  await finished(out);
}

async function ours() {
  const start = performance.now();
  const tokenizer = Tokenizer.of(readModelSource(values.tokenizer));
  const data = await prepareData({
    options: dataOptions.parse({ paths: file, format: 'text', maxLength: LENGTH, threads }),
    tokenizer,
    shape: exampleRows,
    cacheFolder: join(folder, 'cache'),
    formats: builtInFormats,
    openPool: (setting) => workerPool(setting, threads, new AbortController().signal),
    onProgress: () => {},
  });
  const bins = packBestFitDecreasing(data.rows.lengths, LENGTH);
  const seconds = (performance.now() - start) / 1000;
  let tokens = 0;
  for (let i = 0; i < data.rows.lengths.length; i++) tokens += data.rows.lengths[i];
  data.close();
  return { seconds, packed: bins.starts.length - 1, tokens, memory: process.resourceUsage().maxRSS / 1024 };
}

function theirs() {
  const python = process.env.LARGEFORGE_PYTHON;
  if (python === undefined) return undefined;
  const script = fileURLToPath(new URL('peers/packing.py', import.meta.url));
  const result = spawnSync(
    python,
    [script, file, values.tokenizer, String(LENGTH), String(threads), join(folder, 'hf')],
    {
      encoding: 'utf8',
      env: { ...process.env, TOKENIZERS_PARALLELISM: 'false' },
    },
  );
  if (result.status !== 0) throw new Error(result.stderr.trim().split('\n').slice(-3).join('\n'));
  return JSON.parse(result.stdout.trim().split('\n').at(-1));
}

try {
  await writeRows();
  const own = await ours();
  const line = (name, { seconds, packed, tokens, memory }) =>
    `${name}: ${seconds.toFixed(1)} s, ${Math.round(rows / seconds)} rows/s, ${(tokens / seconds / 1e6).toFixed(2)} M tokens/s, ${packed} packed rows, ${memory.toFixed(0)} MiB at most`;
  console.log(`${cpus()[0].model.trim()}, ${threads} threads, ${rows} rows`);
  console.log(line('largeforge', own));
  const peer = theirs();
  if (peer) {
    console.log(line('datasets.map and pack_dataset', peer));
    console.log(`ratio ${(peer.seconds / own.seconds).toFixed(2)}`);
  } else console.log('datasets is not installed: no ratio');
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ rows, threads, ours: own, peer }, null, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true });
}
