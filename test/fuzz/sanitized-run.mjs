/**
 * The part of `npm run test:fuzz` that runs in a process with AddressSanitizer: fuzzes with the binding and the CPU
 * backend that were built for it. Arguments: files, seed, folder.
 */
import Module from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fuzz } from './fuzz.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [files, seed, folder] = process.argv.slice(2);

// The engine looks for the binding of the platform's package first: here it finds the one with the sanitizers.
const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...rest) {
  if (request === `@largeforge/engine-${process.platform}-${process.arch}/binding.node`) {
    return join(root, 'engine/build/sanitized/binding.node');
  }
  return resolve.call(this, request, ...rest);
};

const engine = await import('../../engine/dist/index.js');
const device = engine.openDevice({
  library: join(root, 'plugins/backend-cpu/build/sanitized/liblargeforge_cpu.so'),
  threads: 2,
});
const started = Date.now();
const outcomes = await fuzz({
  engine,
  device,
  files: Number(files),
  seed: Number(seed),
  folder,
  progress: (done) => {
    if (done % 1000 === 0) process.stdout.write(`${done} files, ${Math.round((Date.now() - started) / 1000)} s\n`);
  },
});
device.close();
for (const [outcome, count] of [...outcomes].sort((a, b) => b[1] - a[1]))
  process.stdout.write(`${outcome}: ${count}\n`);
