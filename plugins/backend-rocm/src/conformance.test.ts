import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { emulatedEnvironment, emulatedLibrary } from '../../../engine/src/device/emulated-gpu.fixture.js';

/** Built by `npm test` (scripts/build-native.mjs --conformance). */
const kit = fileURLToPath(new URL('../../../engine/build/conformance', import.meta.url));

it('the conformance kit is green under emulation, with warps of 64', () => {
  const { status, stdout, stderr } = spawnSync(kit, [emulatedLibrary('rocm'), '--cases', '3', '--seed', '7'], {
    encoding: 'utf8',
    env: { ...process.env, ...emulatedEnvironment('rocm') },
  });
  expect(status, `${stdout}${stderr}`).toBe(0);
  expect(stdout).not.toContain('not supported:');
}, 300_000);
