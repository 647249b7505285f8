import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { locateBackendLibrary } from './backend-library.js';

let root: string;
const write = (path: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), '');
};
/** A module of an installed plugin. */
const locate = () =>
  locateBackendLibrary(
    'backend-cuda',
    pathToFileURL(join(root, 'node_modules/@largeforge/backend-cuda/dist/index.js')).href,
  );

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'lf-backend-')));
  write('node_modules/@largeforge/backend-cuda/dist/index.js');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('takes the library of the package for this platform, before one that was built', () => {
  const prebuilt = `node_modules/@largeforge/backend-cuda-${process.platform}-${process.arch}/liblargeforge_cuda.so`;
  write(prebuilt);
  write('node_modules/@largeforge/backend-cuda/build/liblargeforge_cuda.so');
  expect(locate()).toBe(join(root, prebuilt));
});

it('takes what `npm run package:backends` makes of a build, which runs nothing when it is installed', () => {
  const script = fileURLToPath(new URL('../../../scripts/package-backends.mjs', import.meta.url));
  const { stdout, status } = spawnSync(process.execPath, [script, join(root, 'node_modules')], { encoding: 'utf8' });
  expect(status, stdout).toBe(0);
  const name = `@largeforge/backend-cpu-${process.platform}-${process.arch}`;
  expect(stdout).toContain(name);
  const manifest = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'));
  expect(manifest).toMatchObject({ name, os: [process.platform], cpu: [process.arch] });
  expect(manifest.scripts).toBeUndefined();
  const library = createRequire(join(root, 'node_modules/@largeforge/backend-cuda/dist/index.js')).resolve(
    `${name}/${manifest.files[0]}`,
  );
  expect(statSync(library).size).toBeGreaterThan(1 << 20);
});

it('takes the one that was built in a checkout', () => {
  const built = 'node_modules/@largeforge/backend-cuda/build/liblargeforge_cuda.so';
  write(built);
  expect(locate()).toBe(join(root, built));
});

it('says where it looked, and what to do, when there is none', () => {
  expect(locate).toThrow(/backend-cuda was not found .*backend-cuda-.*liblargeforge_cuda\.so/);
});
