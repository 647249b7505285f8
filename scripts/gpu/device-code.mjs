/**
 * Compiles the kernels of engine/native/gpu/kernels for devices: finds the vendors' compilers, keeps what is up to date,
 * and reads from the compilers what each kernel takes (registers, spills).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pythonEnvironment } from '../python-environment.mjs';
import { root } from '../setup.mjs';

const folder = join(root, 'engine/native/gpu/kernels');
export const kernelSources = readdirSync(folder)
  .filter((name) => name.endsWith('.cu'))
  .sort()
  .map((name) => name.slice(0, -3));

/** Everything that a kernel can include. */
const headers = createHash('sha256');
for (const part of ['kernels', 'device']) {
  const at = join(root, 'engine/native/gpu', part);
  for (const name of readdirSync(at).sort()) if (name.endsWith('.h')) headers.update(readFileSync(join(at, name)));
}
const headerStamp = headers.digest('hex');

export const NVIDIA_TARGETS = ['sm_75', 'sm_80', 'sm_90a'];
export const AMD_TARGETS = ['gfx90a', 'gfx1030'];

const works = (program, args = ['--version'], env = process.env) =>
  spawnSync(program, args, { stdio: 'ignore', env }).status === 0;

/** nvcc of NVCC, of PATH, or (unless `fetch` is false) of NVIDIA's packages on PyPI, in an environment of their own. */
export function findNvcc({ fetch = true } = {}) {
  const named = process.env.NVCC;
  if (named) return works(named) ? named : undefined;
  if (works('nvcc')) return 'nvcc';
  if (!fetch) return undefined;
  const environment = dirname(dirname(pythonEnvironment('nvidia-compiler', 'engine/native/gpu/toolchain')));
  const libraries = join(environment, 'lib');
  for (const version of readdirSync(libraries)) {
    const nvcc = join(libraries, version, 'site-packages/nvidia/cu13/bin/nvcc');
    if (existsSync(nvcc) && works(nvcc)) return nvcc;
  }
  return undefined;
}

/** hipcc of HIPCC or of PATH. */
export function findHipcc() {
  const named = process.env.HIPCC ?? 'hipcc';
  return works(named, ['--version'], { ...process.env, HIP_PLATFORM: 'amd' }) ? named : undefined;
}

/** Runs a compiler unless its product is up to date; returns what it printed. */
function compile(product, source, program, args, env = process.env) {
  const stamp = createHash('sha256')
    .update(JSON.stringify([program, args]))
    .update(readFileSync(join(folder, `${source}.cu`)))
    .update(headerStamp)
    .digest('hex');
  const notes = `${product}.notes`;
  if (existsSync(product) && existsSync(notes)) {
    const { stamp: kept, text } = JSON.parse(readFileSync(notes, 'utf8'));
    if (kept === stamp) return text;
  }
  mkdirSync(dirname(product), { recursive: true });
  process.stderr.write(`${source}.cu: ${args.filter((arg) => /sm_|gfx/.test(arg)).join(' ')} ...\n`);
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 28,
  });
  if (error) throw error;
  const text = `${stdout}${stderr}`;
  if (status !== 0) throw new Error(`${source}.cu does not compile:\n${text.slice(-4000)}`);
  writeFileSync(notes, JSON.stringify({ stamp, text }));
  return text;
}

/** A source for one of NVIDIA's architectures, as a cubin. */
export function compileNvidia(nvcc, source, target, output) {
  const product = join(output, `${source}.${target}.cubin`);
  const args = [
    '-cubin',
    `-arch=${target}`,
    '-std=c++17',
    '-O3',
    '-Xptxas',
    '-v',
    join(folder, `${source}.cu`),
    '-o',
    product,
  ];
  return { product, kernels: readPtxas(compile(product, source, nvcc, args)) };
}

/** A source for newer devices than those, as PTX that their driver compiles. */
export function compilePtx(nvcc, source, output) {
  const product = join(output, `${source}.ptx`);
  compile(product, source, nvcc, [
    '-ptx',
    '-arch=compute_80',
    '-std=c++17',
    '-O3',
    join(folder, `${source}.cu`),
    '-o',
    product,
  ]);
  return product;
}

/** A source for one of AMD's architectures, as a code object. */
export function compileAmd(hipcc, source, target, output) {
  const product = join(output, `${source}.${target}.co`);
  const args = ['--cuda-device-only', `--offload-arch=${target}`, '-std=c++17', '-O3', '-nogpuinc', '-Wno-pass-failed'];
  args.push('-Rpass-analysis=kernel-resource-usage', '-x', 'hip', '-c', join(folder, `${source}.cu`), '-o', product);
  const text = compile(product, source, hipcc, args, { ...process.env, HIP_PLATFORM: 'amd' });
  return { product, kernels: readRemarks(text) };
}

/** What ptxas -v tells: registers and bytes of spills. */
function readPtxas(text) {
  const kernels = [];
  for (const line of text.split('\n')) {
    const name = /Compiling entry function '(\w+)'/.exec(line)?.[1];
    if (name) kernels.push({ name, registers: 0, spills: 0 });
    const kernel = kernels.at(-1);
    if (!kernel) continue;
    const spills = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (spills) kernel.spills = Number(spills[1]) + Number(spills[2]);
    const registers = /Used (\d+) registers/.exec(line);
    if (registers) kernel.registers = Number(registers[1]);
  }
  return kernels;
}

/** What clang's remarks tell: vector registers, and spilled ones. */
function readRemarks(text) {
  const kernels = [];
  for (const line of text.split('\n')) {
    const name = /Function Name: (\w+)/.exec(line)?.[1];
    if (name) kernels.push({ name, registers: 0, spills: 0 });
    const kernel = kernels.at(-1);
    if (!kernel) continue;
    const registers = /remark:\s+VGPRs: (\d+)/.exec(line);
    if (registers) kernel.registers = Number(registers[1]);
    const spills = /VGPRs Spill: (\d+)/.exec(line);
    if (spills) kernel.spills = Number(spills[1]) * 4;
  }
  return kernels;
}

/** The toolkit's version, as the image holds it: 1000 * major + 10 * minor. */
export function toolkitVersion(text) {
  const [, major, minor] = /release (\d+)\.(\d+)/.exec(text) ?? /HIP version: (\d+)\.(\d+)/.exec(text) ?? [0, 0, 0];
  return Number(major) * 1000 + Number(minor) * 10;
}
