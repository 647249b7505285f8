/**
 * `npm run test:fuzz`: opens damaged safetensors and GGUF files, reading every tensor through native code built with
 * AddressSanitizer and UBSan. Each file must be read or refused with an error that says what is wrong.
 *
 *   npm run test:fuzz -- [--files 100000] [--seed N]
 *
 * The seed is printed; a file that fails is kept in build/fuzz.
 */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, run, setUp } from './setup.mjs';

/** Without a thousand files done in this time, one of them hangs. */
const SILENCE_MILLISECONDS = 300_000;

const { values } = parseArgs({
  options: { files: { type: 'string', default: '100000' }, seed: { type: 'string' } },
});
const files = Number(values.files);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
if (!Number.isSafeInteger(files) || files < 1 || !Number.isSafeInteger(seed)) {
  fail('--files takes a number of files, --seed a whole number');
}

setUp();
run(process.execPath, ['scripts/build-native.mjs', '--sanitize']);
const compiler = process.env.CXX ?? 'g++';
const runtime = spawnSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout?.trim();
if (!runtime || !existsSync(runtime)) fail(`${compiler} has no libasan.so; install the sanitizers of GCC`);

const folder = join(root, 'build/fuzz');
mkdirSync(folder, { recursive: true });
process.stdout.write(`${files} files, seed ${seed}\n`);
const child = spawn(
  process.execPath,
  ['--max-old-space-size=512', 'test/fuzz/sanitized-run.mjs', String(files), String(seed), folder],
  {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      LD_PRELOAD: runtime,
      // Node leaves memory to the system when it ends, which is no leak; SIGBUS is the backend's own to handle.
      ASAN_OPTIONS: 'detect_leaks=0:handle_sigbus=0:hard_rss_limit_mb=3072:abort_on_error=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  },
);
const hang = () => {
  process.stderr.write('no progress: the last file hangs\n');
  child.kill('SIGKILL');
};
let timer = setTimeout(hang, SILENCE_MILLISECONDS);
child.stdout.on('data', (text) => {
  process.stdout.write(text);
  clearTimeout(timer);
  timer = setTimeout(hang, SILENCE_MILLISECONDS);
});
child.on('close', (status, signal) => {
  clearTimeout(timer);
  if (status === 0) return;
  // Which of the two was open shows in their times.
  if (signal !== null) {
    for (const format of ['gguf', 'safetensors']) {
      const current = join(folder, `current.${format}`);
      if (existsSync(current)) copyFileSync(current, join(folder, `seed-${seed}-crash.${format}`));
    }
  }
  fail(`seed ${seed} failed (${signal ?? `status ${status}`}); the file is in ${folder}`);
});

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
