/**
 * Compiles the kernels of engine/native/gpu/kernels for devices: finds the vendors' compilers, keeps what is up to date,
 * and reads from the compilers what each kernel takes (registers, spills).
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { cache, existingEnvironment, pythonEnvironment } from '../python-environment.mjs';
import { root } from '../setup.mjs';
import { closure } from '../source-closure.mjs';

const folder = join(root, 'engine/native/gpu/kernels');
export const kernelSources = readdirSync(folder)
  .filter((name) => name.endsWith('.cu'))
  .sort()
  .map((name) => name.slice(0, -3));

export const NVIDIA_TARGETS = ['sm_75', 'sm_80', 'sm_90a'];
export const AMD_TARGETS = ['gfx90a', 'gfx1030'];

const works = (program, args = ['--version'], env = process.env) =>
  spawnSync(program, args, { stdio: 'ignore', env }).status === 0;

/** A program of NVIDIA's packages from PyPI: of an environment that is there, or that is made now if `fetch`. */
function fromPackages(environment, program, fetch) {
  const interpreter = fetch
    ? pythonEnvironment(environment, 'engine/native/gpu/toolchain')
    : existingEnvironment(environment);
  if (!interpreter) return undefined;
  const libraries = join(dirname(dirname(interpreter)), 'lib');
  for (const version of readdirSync(libraries)) {
    const path = join(libraries, version, 'site-packages/nvidia/cu13/bin', program);
    if (existsSync(path) && works(path)) return path;
  }
  return undefined;
}

/**
 * nvcc of NVCC, of PATH, or of NVIDIA's packages from PyPI in an environment of their own, which is made where it is missing
 * unless `fetch` is false.
 */
export function findNvcc({ fetch = true } = {}) {
  const named = process.env.NVCC;
  if (named) return works(named) ? named : undefined;
  return works('nvcc') ? 'nvcc' : fromPackages('nvidia-compiler', 'nvcc', fetch);
}

/** nvdisasm of PATH, or of NVIDIA's packages, as `findNvcc`. */
export const findDisassembler = ({ fetch = true } = {}) =>
  works('nvdisasm') ? 'nvdisasm' : fromPackages('nvidia-disassembler', 'nvdisasm', fetch);

/** hipcc of HIPCC or of PATH. */
export function findHipcc() {
  const named = process.env.HIPCC ?? 'hipcc';
  return works(named, ['--version'], { ...process.env, HIP_PLATFORM: 'amd' }) ? named : undefined;
}

const run = promisify(execFile);

/**
 * Runs a compiler on a source; returns where its product lies and what it printed. Products are kept in the cache under a
 * hash of the compiler, its options, the source and every header that it includes: what did not change costs nothing, in
 * any checkout.
 */
async function compile(source, suffix, compiler, options, env = process.env) {
  const path = join(folder, `${source}.cu`);
  const hash = createHash('sha256').update(JSON.stringify([suffix, compilerVersion(compiler, env), options]));
  for (const [file, text] of [...closure(path, [])].sort()) hash.update(relative(root, file)).update(text);
  const product = join(cache, 'gpu-code', `${hash.digest('hex').slice(0, 32)}.${source}.${suffix}`);
  const notes = `${product}.notes`;
  if (existsSync(product) && existsSync(notes)) return { product, text: readFileSync(notes, 'utf8') };
  mkdirSync(dirname(product), { recursive: true });
  const temporary = `${product}.${process.pid}`;
  const start = Date.now();
  try {
    const args = [...options, path, '-o', temporary];
    const { stdout, stderr } = await run(compiler, args, { cwd: root, encoding: 'utf8', env, maxBuffer: 1 << 28 });
    renameSync(temporary, product);
    writeFileSync(notes, `${stdout}${stderr}`);
    process.stderr.write(`${source}.cu as ${suffix}: ${((Date.now() - start) / 1000).toFixed(1)} s\n`);
    return { product, text: `${stdout}${stderr}` };
  } catch (error) {
    throw new Error(`${source}.cu does not compile as ${suffix}:\n${`${error.stdout}${error.stderr}`.slice(-4000)}`);
  }
}

const versions = new Map();
function compilerVersion(compiler, env) {
  if (!versions.has(compiler))
    versions.set(compiler, spawnSync(compiler, ['--version'], { encoding: 'utf8', env }).stdout);
  return versions.get(compiler);
}

/** Runs tasks, as many at a time as there are processors; their results in order. */
export async function inParallel(tasks) {
  const results = [];
  const queue = [...tasks.entries()];
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) results[next[0]] = await next[1]();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

/** A source for one of NVIDIA's architectures, as a cubin. */
export async function compileNvidia(nvcc, source, target) {
  const options = ['-cubin', `-arch=${target}`, '-std=c++17', '-O3', '-Xptxas', '-v'];
  const { product, text } = await compile(source, `${target}.cubin`, nvcc, options);
  return { source, target, product, kernels: readPtxas(text) };
}

/** A source for newer devices than those, as PTX that their driver compiles. */
export async function compilePtx(nvcc, source) {
  return (await compile(source, 'ptx', nvcc, ['-ptx', '-arch=compute_80', '-std=c++17', '-O3'])).product;
}

const amdEnvironment = { ...process.env, HIP_PLATFORM: 'amd' };

/** A source for one of AMD's architectures, as a code object. */
export async function compileAmd(hipcc, source, target) {
  const options = [
    '--cuda-device-only',
    // Else the code object comes within a bundle, which neither drivers nor disassemblers take for one.
    '--no-gpu-bundle-output',
    `--offload-arch=${target}`,
    '-std=c++17',
    '-O3',
    '-nogpuinc',
    '-Wno-pass-failed',
  ];
  options.push('-Rpass-analysis=kernel-resource-usage', '-x', 'hip', '-c');
  const { product, text } = await compile(source, `${target}.co`, hipcc, options, amdEnvironment);
  return { source, target, product, kernels: readRemarks(text) };
}

/** What ptxas -v tells: registers, bytes of local memory of a thread, and of those moved by spills. */
function readPtxas(text) {
  const kernels = [];
  for (const line of text.split('\n')) {
    const name = /Compiling entry function '(\w+)'/.exec(line)?.[1];
    if (name) kernels.push({ name, registers: 0, local: 0, spills: 0 });
    const kernel = kernels.at(-1);
    if (!kernel) continue;
    const frame = /(\d+) bytes stack frame/.exec(line);
    if (frame) kernel.local = Number(frame[1]);
    const spills = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (spills) kernel.spills = Number(spills[1]) + Number(spills[2]);
    const registers = /Used (\d+) registers/.exec(line);
    if (registers) kernel.registers = Number(registers[1]);
  }
  return kernels;
}

/** What clang's remarks tell: vector registers, bytes of local memory of a lane, and of spilled vector registers. */
function readRemarks(text) {
  const kernels = [];
  for (const line of text.split('\n')) {
    const name = /Function Name: (\w+)/.exec(line)?.[1];
    if (name) kernels.push({ name, registers: 0, local: 0, spills: 0 });
    const kernel = kernels.at(-1);
    if (!kernel) continue;
    const scratch = /ScratchSize \[bytes\/lane\]: (\d+)/.exec(line);
    if (scratch) kernel.local = Number(scratch[1]);
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
