/**
 * `npm run build:cuda`: compiles the kernels for NVIDIA's GPUs (sm_75, sm_80, sm_90a, and PTX for newer ones) and links the
 * backend with them. Takes nvcc of NVCC or of PATH, else NVIDIA's compiler packages from PyPI, in an environment of their own.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  compileNvidia,
  compilePtx,
  findNvcc,
  inParallel,
  kernelSources,
  NVIDIA_TARGETS,
  toolkitVersion,
} from './gpu/device-code.mjs';
import { writeImage } from './gpu/image.mjs';
import { build, root, run } from './setup.mjs';

const nvcc = findNvcc();
if (!nvcc) {
  process.stderr.write(
    'No nvcc was found or could be fetched. Put one into PATH (CUDA 11.8 or newer), or name it in NVCC.\n',
  );
  process.exit(1);
}
const fatbinary = nvcc.includes('/') ? join(dirname(nvcc), 'fatbinary') : 'fatbinary';
const output = join(root, 'plugins/backend-cuda/build/device');
mkdirSync(output, { recursive: true });
const cubins = await inParallel(
  kernelSources.flatMap((source) => NVIDIA_TARGETS.map((target) => () => compileNvidia(nvcc, source, target))),
);
const ptx = await inParallel(kernelSources.map((source) => () => compilePtx(nvcc, source)));
const modules = kernelSources.map((name, i) => {
  const images = cubins
    .filter(({ source }) => source === name)
    .map(({ target, product }) => `--image3=kind=elf,sm=${target.slice(3)},file=${product}`);
  images.push(`--image3=kind=ptx,sm=80,file=${ptx[i]}`);
  const file = join(output, `${name}.fatbin`);
  run(fatbinary, ['-64', `--create=${file}`, ...images]);
  return { name, file };
});
const version = spawnSync(nvcc, ['--version'], { encoding: 'utf8' }).stdout;
const image = join(root, 'plugins/backend-cuda/build/kernels.image');
writeImage(image, modules, toolkitVersion(version), [...NVIDIA_TARGETS, 'compute_80']);
build();
process.stdout.write(
  `plugins/backend-cuda/build/liblargeforge_cuda.so holds the kernels for ${NVIDIA_TARGETS.join(', ')}.\n`,
);
