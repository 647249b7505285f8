/**
 * `npm run build:rocm`: compiles the kernels for AMD's GPUs (gfx90a, gfx1030; LF_ROCM_TARGETS names others that the compiler
 * knows) and links the backend with them. Takes hipcc of HIPCC or of PATH (Debian: apt-get install hipcc).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AMD_TARGETS, compileAmd, findHipcc, inParallel, kernelSources, toolkitVersion } from './gpu/device-code.mjs';
import { writeImage } from './gpu/image.mjs';
import { build, root, run } from './setup.mjs';

const hipcc = findHipcc();
if (!hipcc) {
  process.stderr.write('No hipcc was found. Install it (Debian: "apt-get install hipcc"), or name it in HIPCC.\n');
  process.exit(1);
}
const bundler = [
  'clang-offload-bundler',
  '/opt/rocm/llvm/bin/clang-offload-bundler',
  '/usr/bin/clang-offload-bundler-15',
].find((name) => (name.startsWith('/') ? existsSync(name) : spawnSync(name, ['--version']).status === 0));
if (!bundler) {
  process.stderr.write('clang-offload-bundler, which comes with hipcc, was not found.\n');
  process.exit(1);
}
const targets = process.env.LF_ROCM_TARGETS?.split(',') ?? AMD_TARGETS;
const output = join(root, 'plugins/backend-rocm/build/device');
mkdirSync(output, { recursive: true });
const compiled = await inParallel(
  kernelSources.flatMap((source) => targets.map((target) => () => compileAmd(hipcc, source, target))),
);
const modules = kernelSources.map((name) => {
  const objects = compiled.filter(({ source }) => source === name).map(({ product }) => product);
  const file = join(output, `${name}.hipfb`);
  const names = ['host-x86_64-unknown-linux', ...targets.map((target) => `hipv4-amdgcn-amd-amdhsa--${target}`)];
  const inputs = ['/dev/null', ...objects].map((input) => `--input=${input}`);
  run(bundler, ['--type=o', '--bundle-align=4096', `--targets=${names.join(',')}`, ...inputs, `--output=${file}`]);
  return { name, file };
});
const version = spawnSync(hipcc, ['--version'], {
  encoding: 'utf8',
  env: { ...process.env, HIP_PLATFORM: 'amd' },
}).stdout;
writeImage(join(root, 'plugins/backend-rocm/build/kernels.image'), modules, toolkitVersion(version), targets);
build();
process.stdout.write(`plugins/backend-rocm/build/liblargeforge_rocm.so holds the kernels for ${targets.join(', ')}.\n`);
