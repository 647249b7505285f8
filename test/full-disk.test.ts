import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const fullDisk = new URL('./faults/full-disk.mjs', import.meta.url).href;
const tiny = (name: string) => join(root, 'plugins/merge-lora/fixtures', name);
const base = join(root, 'examples/quickstart/base');
const heldout = join(root, 'examples/quickstart/data/heldout.jsonl');
const calibrated = ['--calibration', heldout, '--samples', '2', '--sequence-length', '64'];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-full-disk-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a command on a disk that is full after so many bytes. */
function onFullDisk(bytes: number, args: readonly string[]): Promise<{ code: number | null; errors: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--import', fullDisk, join(root, 'core/bin/largeforge.mjs'), ...args], {
      cwd: folder,
      env: { ...process.env, LARGEFORGE_TEST_DISK_BYTES: String(bytes) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.on('close', (code) => resolve({ code, errors }));
  });
}

describe('a disk that gets full ends the work with a clear error, and the model of before stays whole', () => {
  // So many bytes that the space ends in the weights, in what is kept of layers that are done, or in the report.
  it.each([
    ['merge of an adapter', 9_000, ['merge', '--adapter', tiny('adapter-a')]],
    ['merge of models', 9_000, ['merge', '--model', tiny('tuned-a'), '--model', tiny('tuned-b'), '--method', 'linear']],
    ['report of a merge', 17_000, ['merge', '--adapter', tiny('adapter-a')]],
    ['pruning of weights, layers', 500_000, ['prune', '--model', base, '--method', 'magnitude']],
    ['pruning of weights, model', 4_000_000, ['prune', '--model', base, '--method', 'magnitude']],
    [
      'pruning of structures',
      1_500_000,
      ['prune', '--model', base, '--method', 'structured', '--layers', '0.34', ...calibrated],
    ],
    ['quantisation', 300_000, ['quantize', '--model', base, '--method', 'rtn', ...calibrated]],
  ])('%s', async (what, bytes, args) => {
    const out = what.replaceAll(/\W+/g, '-');
    mkdirSync(join(folder, out));
    for (const file of ['config.json', 'model.safetensors', 'report.json']) {
      writeFileSync(join(folder, out, file), `old ${file}`);
    }
    const { code, errors } = await onFullDisk(bytes, [...args, '--output-dir', out]);
    expect(errors).toMatch(/LF_ENGINE_FILE_UNWRITABLE: .* cannot be written: no space is left on the disk/);
    expect(errors).toMatch(/what to do: .*space/);
    expect(errors).not.toMatch(/^ {4}at /m);
    expect(code).toBe(1);
    expect(readdirSync(join(folder, out)).sort()).toEqual(['config.json', 'model.safetensors', 'report.json']);
    for (const file of readdirSync(join(folder, out))) {
      expect(readFileSync(join(folder, out, file), 'utf8')).toBe(`old ${file}`);
    }
  });

  it('evaluation', async () => {
    const { code, errors } = await onFullDisk(300, [
      ...['evaluate', '--model', base, '--benchmark', 'perplexity', '--dataset', join(root, 'LICENSE')],
      ...['--max-windows', '2', '--window', '64'],
    ]);
    expect(errors).toMatch(/no space is left on the disk/);
    expect(code).toBe(1);
  });
});
