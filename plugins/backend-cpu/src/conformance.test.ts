import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadBackend } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { locateLibrary } from './library.js';

/** Built by `npm test` (scripts/build-native.mjs --conformance). */
const kit = fileURLToPath(new URL('../../../engine/build/conformance', import.meta.url));
const header = fileURLToPath(new URL('../../../engine/native/include/largeforge/backend.h', import.meta.url));

function conformance(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr, error } = spawnSync(kit, args, { encoding: 'utf8' });
  if (error) throw error;
  return { status, output: `${stdout}${stderr}` };
}

const ops = () => conformance('--list').output.trim().split('\n');

/** Levels of the kernels, the best that this machine runs last. */
const levels = ['portable', 'avx2', 'avx512', 'avx512-bf16', 'amx'];
const best = loadBackend(locateLibrary()).devices()[0]?.isa ?? 'portable';
const runnable = levels.slice(0, levels.indexOf(best) + 1);
/** The kernels of AMX with tiles that are emulated, where the rest of that level runs. */
const emulated = runnable.includes('avx512-bf16') ? ['amx-emulated'] : [];

describe('the conformance kit', () => {
  it('has cases of every op of the ABI', () => {
    const declared = [...readFileSync(header, 'utf8').matchAll(/LF_OP_(\w+) = \d+/g)].map(
      (match) => match[1] as string,
    );
    expect(declared.length).toBeGreaterThan(35);
    // WRITE and PACK bring the operands of all the others.
    expect(ops().sort()).toEqual(declared.filter((name) => name !== 'WRITE' && name !== 'PACK').sort());
  });

  it('fails for every op when results are off by five per cent', () => {
    for (const op of ops()) {
      const { status, output } = conformance(locateLibrary(), '--op', op, '--cases', '4', '--perturb');
      expect(status, output).toBe(1);
      expect(output).toContain('FAILED');
    }
  });

  it("has references whose gradients are those of the forward references' differences", () => {
    const { status, output } = conformance('--gradients');
    expect(status, output).toBe(0);
    expect(output).not.toContain('FAILED');
  });
});

describe('the CPU backend conforms', () => {
  it('at the level that the machine offers at best', () => expect(levels).toContain(best));

  it.each([...runnable, ...emulated])('%s', (isa) => {
    const { status, output } = conformance(locateLibrary(), '--isa', isa, '--cases', '10', '--seed', '7');
    expect(status, output).toBe(0);
    // Caches of floats and of codes in 8 bits.
    expect(output).not.toMatch(/(KV_\w+|ATTENTION_PAGED) .*not supported/);
  });
});
