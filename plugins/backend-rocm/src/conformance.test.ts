import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Op } from '@largeforge/engine';
import { expect, it } from 'vitest';
import { emulatedEnvironment, emulatedLibrary } from '../../../engine/src/device/emulated-gpu.fixture.js';

/** Built by `npm test` (scripts/build-native.mjs --conformance). */
const kit = fileURLToPath(new URL('../../../engine/build/conformance', import.meta.url));

/** Ops from this number on are newer than the GPU's kernels; `supports` says so, and the engine is told. */
const NEWER = 100;

it('the conformance kit is green under emulation, with warps of 64', () => {
  const { status, stdout, stderr } = spawnSync(
    kit,
    [emulatedLibrary('rocm'), '--allow-unsupported', '--cases', '3', '--seed', '7'],
    { encoding: 'utf8', env: { ...process.env, ...emulatedEnvironment('rocm') } },
  );
  expect(status, `${stdout}${stderr}`).toBe(0);
  const lacking = /^not supported: (.*)$/m.exec(stdout)?.[1]?.split(', ') ?? [];
  const numbers: Readonly<Record<string, number>> = Op;
  const old = lacking.filter((name) => (numbers[name] ?? 0) < NEWER);
  expect(old).toEqual([]);
}, 300_000);
