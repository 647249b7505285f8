import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it.each([
  ['32', '80'],
  ['64', '90'],
])(
  'with warps of %s, the GPU emulator catches every seeded bug, and the fake driver refuses what a driver would',
  (_, target) => {
    const program = fileURLToPath(new URL(`../../build/seeded_bugs_${target}`, import.meta.url));
    const { status, stdout, stderr } = spawnSync(program, {
      encoding: 'utf8',
      env: { ...process.env, LF_EMULATED_TARGET: target },
    });
    expect(`${stdout}${stderr}`).toBe('all caught\n');
    expect(status).toBe(0);
  },
);
