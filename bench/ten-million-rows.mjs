/**
 * Shows that a training streams ten million short rows in bounded memory: writes them (JSON Lines, about 0.4 GB), trains a
 * tiny model on a few steps of them with `largeforge train pretrain`, and prints the largest memory of the process and of a
 * run on a hundredth of the rows.
 *
 *   node bench/ten-million-rows.mjs FOLDER [--rows 10000000]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rows: { type: 'string', default: '10000000' } },
});
const [folder] = positionals;
if (folder === undefined) {
  process.stderr.write('usage: node bench/ten-million-rows.mjs FOLDER [--rows N]\n');
  process.exit(2);
}
const root = fileURLToPath(new URL('..', import.meta.url));
const cli = join(root, 'core/bin/largeforge.mjs');
const base = join(root, 'examples/quickstart/base');
mkdirSync(folder, { recursive: true });

async function write(path, rows) {
  if (existsSync(path)) return;
  const out = createWriteStream(path);
  let part = [];
  for (let i = 0; i < rows; i++) {
    part.push(`{"text":"row ${i} turns ${(i * 7919) % 9973} to ${i % 97}"}\n`);
    if (part.length < 10_000 && i < rows - 1) continue;
    if (!out.write(part.join(''))) await once(out, 'drain');
    part = [];
  }
  out.end();
  await once(out, 'close');
}

/** Largest resident memory of a process and of its children, in bytes, looked at twenty times a second. */
async function peakOf(args) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'], cwd: folder });
  let peak = 0;
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      // Mapped files belong to the page cache: what the process itself holds is anonymous.
      peak = Math.max(peak, Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024);
    } catch {
      // It has just ended.
    }
  }, 50);
  const [code] = await once(child, 'exit');
  clearInterval(timer);
  if (code !== 0) process.exit(1);
  return peak;
}

async function measure(rows) {
  const data = join(folder, `rows-${rows}.jsonl`);
  await write(data, rows);
  const output = join(folder, `out-${rows}`);
  rmSync(output, { recursive: true, force: true });
  const start = performance.now();
  const peak = await peakOf([
    ...[cli, 'train', 'pretrain', '--model', base, '--dataset', data, '--output-dir', output, '--format', 'text'],
    ...['--full', '--max-length', '128', '--max-steps', '20', '--batch-size', '8'],
  ]);
  const seconds = (performance.now() - start) / 1000;
  const size = (statSync(data).size / 2 ** 20).toFixed(0);
  console.log(
    `${rows.toLocaleString('en-US')} rows (${size} MiB): ${(peak / 2 ** 20).toFixed(0)} MiB of memory at most, ${seconds.toFixed(0)} s`,
  );
  return peak;
}

const rows = Number(values.rows);
const small = await measure(Math.max(1, Math.floor(rows / 100)));
const large = await measure(rows);
console.log(`${((large - small) / (0.99 * rows)).toFixed(1)} bytes of memory for each further row`);
