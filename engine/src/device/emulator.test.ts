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

it('commands that come again are launched as graphs, products go to the faster of two, and kernels touch no more than 1.3 times the memory that they must', () => {
  const built = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
  const backend = built('plugins/backend-cuda/build/liblargeforge_cuda_emulated.so');
  const { status, stdout, stderr } = spawnSync(
    built('engine/build/emulated_runtime'),
    [backend, built('engine/build/libfake_gpu_driver.so')],
    { encoding: 'utf8' },
  );
  expect(status, `${stdout}${stderr}`).toBe(0);
});
