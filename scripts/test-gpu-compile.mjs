/**
 * `npm run test:gpu-compile`: every kernel compiles for every architecture; the kernels that matter most keep to their
 * budgets of registers and spills; their machine code holds matrix and asynchronous-copy instructions. Prints what they
 * take, and what the hardware would allow. A vendor without a compiler is "not compiled", which is no failure: compilers are
 * looked for in PATH and in the environment that `npm run build:cuda` makes; --fetch makes that, from PyPI.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  AMD_TARGETS,
  compileAmd,
  compileNvidia,
  findDisassembler,
  findHipcc,
  findNvcc,
  inParallel,
  kernelSources,
  NVIDIA_TARGETS,
} from './gpu/device-code.mjs';
import { occupancy } from './gpu/occupancy.mjs';
import { rooflineTable } from './gpu/roofline.mjs';
import { root, run } from './setup.mjs';

const fetch = process.argv.includes('--fetch');
const failures = [];
const say = (line) => process.stdout.write(`${line}\n`);
const budgets = JSON.parse(readFileSync(join(root, 'engine/native/gpu/toolchain/budgets.json'), 'utf8'));
const launches = readLaunches();

function readLaunches() {
  const program = join(root, 'engine/build/gpu-launches');
  mkdirSync(dirname(program), { recursive: true });
  run(process.env.CXX ?? 'c++', ['-std=c++17', '-o', program, 'scripts/gpu/launches.cpp']);
  return JSON.parse(spawnSync(program, { encoding: 'utf8' }).stdout);
}

const UNITS = { registers: 'registers', local: 'bytes of local memory', spills: 'bytes of spills' };

/** Checks a kernel that matters against its budget, and prints its row. */
function report(target, { name, registers, local, spills }) {
  const launch = launches[name];
  const { kernels, ...common } = budgets[target];
  const budget = { local: 0, spills: 0, ...common, ...kernels?.[name] };
  for (const [what, taken] of Object.entries({ registers, local, spills })) {
    if (taken > budget[what])
      failures.push(`${target} ${name}: ${taken} ${UNITS[what]}; the budget is ${budget[what]}`);
  }
  const { held, share } = occupancy(target, { registers, ...launch });
  const cells = [`\`${name}\``, target, registers, local, spills, launch.shared, held, `${Math.round(share * 100)} %`];
  say(`| ${cells.join(' | ')} |`);
}

/** All kernels of a vendor: the ones that matter in rows, the rest in a line. */
function reportAll(compiled) {
  const kernels = compiled.flatMap(({ target, kernels: all }) => all.map((kernel) => ({ ...kernel, target })));
  for (const kernel of kernels) if (launches[kernel.name]) report(kernel.target, kernel);
  for (const target of new Set(compiled.map((one) => one.target))) {
    const found = new Set(kernels.filter((kernel) => kernel.target === target).map(({ name }) => name));
    for (const [name, { unit }] of Object.entries(launches)) {
      if (!found.has(name) && !(unit && !BF16_UNIT.includes(target))) failures.push(`${target}: no kernel ${name}`);
    }
    const rest = kernels.filter((kernel) => kernel.target === target && !launches[kernel.name]);
    const inMemory = rest.filter(({ local }) => local > 0).map(({ name, local }) => `${name} ${local}`);
    summaries.push(
      `${target}: ${found.size} kernels compiled; local bytes of those without a row: ${inMemory.join(', ') || 'none'}`,
    );
  }
}
const summaries = [];
/** Targets whose matrix unit takes bf16. */
const BF16_UNIT = ['sm_80', 'sm_90a', 'gfx90a'];

/** Instructions of a disassembly that a kernel's source must have become. */
function expectInstructions(what, text, patterns) {
  for (const [pattern, meaning] of patterns) {
    const count = text.match(pattern)?.length ?? 0;
    if (count === 0) failures.push(`${what}: no ${meaning} in the machine code`);
    else say(`${what}: ${count} ${meaning}`);
  }
}

/** Sources whose machine code is looked at. */
const SHOWN = ['gemm_async', 'gemm_packed', 'attention', 'attention_codes', 'attention_gradient'];
const MATRIX_UNIT = { sm_75: ['gemm_async'], sm_80: SHOWN, sm_90a: SHOWN, gfx90a: SHOWN };
const shown = (compiled) => compiled.filter(({ source, target }) => MATRIX_UNIT[target]?.includes(source));

function disassembleNvidia(compiled) {
  const nvdisasm = findDisassembler({ fetch });
  if (!nvdisasm) return say('CUDA machine code: not looked at (no nvdisasm)');
  for (const { source, target, product } of shown(compiled)) {
    const { stdout } = spawnSync(nvdisasm, ['-c', product], { encoding: 'utf8', maxBuffer: 1 << 29 });
    expectInstructions(`${target} ${source}`, stdout, [
      [/\bHMMA\./g, 'tensor-core instructions (HMMA)'],
      // Turing has none.
      ...(target === 'sm_75' ? [] : [[/\bLDGSTS\./g, 'asynchronous copies (LDGSTS)']]),
    ]);
  }
}

function disassembleAmd(compiled) {
  const objdump = ['llvm-objdump', 'llvm-objdump-15', '/opt/rocm/llvm/bin/llvm-objdump'].find(
    (name) => spawnSync(name, ['--version']).status === 0,
  );
  if (!objdump) return say('ROCm machine code: not looked at (no llvm-objdump)');
  for (const { source, target, product } of shown(compiled)) {
    const args = ['-d', `--mcpu=${target}`, '--triple=amdgcn-amd-amdhsa', product];
    const { stdout } = spawnSync(objdump, args, { encoding: 'utf8', maxBuffer: 1 << 29 });
    expectInstructions(`${target} ${source}`, stdout, [[/\bv_mfma_/g, 'matrix-core instructions (v_mfma)']]);
  }
}

const each = (targets, make) =>
  inParallel(kernelSources.flatMap((source) => targets.map((target) => () => make(source, target))));
const nvcc = findNvcc({ fetch });
const hipcc = findHipcc();
const cuda = nvcc ? await each(NVIDIA_TARGETS, (source, target) => compileNvidia(nvcc, source, target)) : [];
const rocm = hipcc ? await each(AMD_TARGETS, (source, target) => compileAmd(hipcc, source, target)) : [];
if (nvcc || hipcc) {
  say('| kernel | target | registers | local bytes | spilled bytes | shared bytes | warps held | occupancy |');
  say(`|${' --- |'.repeat(8)}`);
  reportAll(cuda);
  reportAll(rocm);
  for (const line of summaries) say(line);
}
if (nvcc) disassembleNvidia(cuda);
else say('CUDA kernels: not compiled (no nvcc; --fetch takes one from PyPI)');
if (hipcc) disassembleAmd(rocm);
else say('ROCm kernels: not compiled (no hipcc; Debian: apt-get install hipcc)');
say(`\nThe least that the hardware would allow:\n\n${rooflineTable()}`);
if (failures.length > 0) {
  process.stderr.write(`${failures.join('\n')}\n`);
  process.exit(1);
}
