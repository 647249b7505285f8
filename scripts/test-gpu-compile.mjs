/**
 * `npm run test:gpu-compile`: every kernel compiles for every architecture; the kernels that matter most keep to their
 * budgets of registers and spills; their machine code holds matrix and asynchronous-copy instructions. Prints the table of
 * what they take. A vendor without a compiler is "not compiled", which is no failure; --fetch takes NVIDIA's from PyPI.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  AMD_TARGETS,
  compileAmd,
  compileNvidia,
  findHipcc,
  findNvcc,
  kernelSources,
  NVIDIA_TARGETS,
} from './gpu/device-code.mjs';
import { occupancy } from './gpu/occupancy.mjs';
import { pythonEnvironment } from './python-environment.mjs';
import { root, run } from './setup.mjs';

const failures = [];
const budgets = JSON.parse(readFileSync(join(root, 'engine/native/gpu/toolchain/budgets.json'), 'utf8'));
const launches = readLaunches();

function readLaunches() {
  const program = join(root, 'engine/build/gpu-launches');
  mkdirSync(dirname(program), { recursive: true });
  run(process.env.CXX ?? 'c++', ['-std=c++17', '-o', program, 'scripts/gpu/launches.cpp']);
  return JSON.parse(spawnSync(program, { encoding: 'utf8' }).stdout);
}

/** Checks a kernel against its budget, where its architecture has one; rows of the table are of the kernels that have a launch of their own. */
function report(target, { name, registers, spills }) {
  const launch = launches[name];
  if (!launch) return;
  const budget = budgets[target];
  const allowed = budget?.kernels[name] ?? {};
  const mostSpills = allowed.spills ?? 0;
  if (budget && spills > mostSpills)
    failures.push(`${target} ${name}: ${spills} bytes of spills; the budget is ${mostSpills}`);
  const mostRegisters = allowed.registers ?? budget?.registers;
  if (registers > mostRegisters)
    failures.push(`${target} ${name}: ${registers} registers; the budget is ${mostRegisters}`);
  const { held, share } = occupancy(target, { registers, ...launch });
  const cells = [target, name, registers, spills, launch.shared, held, `${Math.round(share * 100)} %`];
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
}

/** Instructions of a disassembly that a kernel's source must have become. */
function expectInstructions(what, text, patterns) {
  for (const [pattern, meaning] of patterns) {
    const count = text.match(pattern)?.length ?? 0;
    if (count === 0) failures.push(`${what}: no ${meaning} in the machine code`);
    else process.stdout.write(`${what}: ${count} ${meaning}\n`);
  }
}

function disassembleNvidia(files) {
  const interpreter = pythonEnvironment('nvidia-disassembler', 'engine/native/gpu/toolchain');
  const found = spawnSync('find', [join(dirname(dirname(interpreter)), 'lib'), '-name', 'nvdisasm', '-type', 'f'], {
    encoding: 'utf8',
  });
  const [nvdisasm] = found.stdout.split('\n');
  for (const [source, file] of files) {
    const { stdout } = spawnSync(nvdisasm, ['-c', file], { encoding: 'utf8', maxBuffer: 1 << 29 });
    expectInstructions(`sm_80 ${source}`, stdout, [
      [/\bHMMA\./g, 'tensor-core instructions (HMMA)'],
      [/\bLDGSTS\./g, 'asynchronous copies (LDGSTS)'],
    ]);
  }
}

function disassembleAmd(files) {
  const objdump = ['llvm-objdump', 'llvm-objdump-15', '/opt/rocm/llvm/bin/llvm-objdump'].find(
    (name) => spawnSync(name, ['--version']).status === 0,
  );
  if (!objdump) return process.stdout.write('gfx90a: not disassembled (no llvm-objdump)\n');
  for (const [source, file] of files) {
    const { stdout } = spawnSync(objdump, ['-d', file], { encoding: 'utf8', maxBuffer: 1 << 29 });
    expectInstructions(`gfx90a ${source}`, stdout, [[/\bv_mfma_/g, 'matrix-core instructions (v_mfma)']]);
  }
}

const SHOWN = ['gemm_async', 'attention', 'attention_gradient'];
process.stdout.write('| target | kernel | registers | spilled bytes | shared bytes | warps held | occupancy |\n');
process.stdout.write('| --- | --- | --- | --- | --- | --- | --- |\n');
const nvcc = findNvcc({ fetch: process.argv.includes('--fetch') });
const hipcc = findHipcc();
const shown = { nvidia: [], amd: [] };
for (const source of nvcc ? kernelSources : []) {
  for (const target of NVIDIA_TARGETS) {
    const { product, kernels } = compileNvidia(nvcc, source, target, join(root, 'plugins/backend-cuda/build/device'));
    for (const kernel of kernels) report(target, kernel);
    if (target === 'sm_80' && SHOWN.includes(source)) shown.nvidia.push([source, product]);
  }
}
for (const source of hipcc ? kernelSources : []) {
  for (const target of AMD_TARGETS) {
    const { product, kernels } = compileAmd(hipcc, source, target, join(root, 'plugins/backend-rocm/build/device'));
    for (const kernel of kernels) report(target, kernel);
    if (target === 'gfx90a' && SHOWN.includes(source)) shown.amd.push([source, product]);
  }
}
if (nvcc) disassembleNvidia(shown.nvidia);
else process.stdout.write('CUDA kernels: not compiled (no nvcc; --fetch takes one from PyPI)\n');
if (hipcc) disassembleAmd(shown.amd);
else process.stdout.write('ROCm kernels: not compiled (no hipcc; Debian: apt-get install hipcc)\n');
if (failures.length > 0) {
  process.stderr.write(`${failures.join('\n')}\n`);
  process.exit(1);
}
