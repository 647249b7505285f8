import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const rows = Number(process.env.LARGEFORGE_ROWS ?? 10_000_000);

/**
 * What a row may cost in memory, with all that is known of it (where it is and how long), over what the program takes anyway:
 * 284 MiB were measured with a million rows, 1,017 MiB with ten.
 */
const [bytesPerRow, fixedBytes] = [100, 300 * 2 ** 20];

it(`a corpus of ${rows} short rows is read and trained on in bounded memory`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-rows-'));
  try {
    const corpus = join(folder, 'rows.jsonl');
    writeRows(corpus);
    const model = join(root, 'examples/quickstart/base');
    const domains = [{ name: 'rows', dataset: corpus }];
    const options = { model, outputDir: './out', maxSteps: 2, batchSize: 2, maxLength: 128, domains };
    const step = { name: 'adapt', stage: 'train', use: 'pretrain', with: options };
    const config = { plugins: ['@largeforge/backend-cpu', '@largeforge/trainer-pretrain'], pipeline: [step] };
    writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify(config));
    const begun = performance.now();
    const { code, peak, errors } = await peakMemory(folder);
    const seconds = (performance.now() - begun) / 1000;
    expect(code, errors).toBe(0);
    const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
    console.log(
      `${rows} rows, ${mebibytes(statSync(corpus).size)} on disk: peak memory ${mebibytes(peak)}, ${seconds.toFixed(0)} s`,
    );
    expect(peak).toBeLessThan(fixedBytes + bytesPerRow * rows);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

function writeRows(path: string): void {
  const file = openSync(path, 'w');
  let waiting = '';
  for (let i = 0; i < rows; i++) {
    waiting += `{"text":"row ${i} ${'abcdefgh'[i % 8]}"}\n`;
    if (waiting.length < 2 ** 20 && i < rows - 1) continue;
    writeSync(file, waiting);
    waiting = '';
  }
  closeSync(file);
}

/** Runs the config of a folder; the most memory that its process held at once, as the system counts it. */
async function peakMemory(folder: string) {
  const command = [join(root, 'core/bin/largeforge.mjs'), 'run', '--log', 'json'];
  const child = spawn(process.execPath, command, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  let [peak, errors] = [0, ''];
  child.stderr.on('data', (chunk) => (errors += chunk));
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Math.max(peak, 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // It has just ended.
    }
  }, 200);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearInterval(timer);
  return { code, peak, errors };
}
