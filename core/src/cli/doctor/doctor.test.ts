import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { inspectCompilers } from './compilers.js';
import { cgroupThreads, cpuFeatures } from './cpu.js';
import { runDiagnoses } from './diagnoses.js';
import { inspectDisk } from './disk.js';
import { inspectGpus, parseNvidiaSmi, parseRocmSmi } from './gpus.js';
import { type RunProgram, runProgram } from './programs.js';

const missing: RunProgram = async () => ({ ok: false, reason: 'not installed' });

it('names the instruction sets that the kernels care about', () => {
  const cpuinfo =
    'processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2 fma f16c avx512f avx512_bf16 amx_bf16\n\nprocessor: 1\n';
  expect(cpuFeatures(cpuinfo)).toEqual(['SSE4.2', 'AVX', 'AVX2', 'FMA', 'F16C', 'AVX512F', 'AVX512-BF16', 'AMX-BF16']);
  expect(cpuFeatures('Features : fp asimd i8mm bf16')).toEqual(['NEON', 'BF16', 'I8MM']);
  expect(cpuFeatures('')).toEqual([]);
});

it('reads a container limit on CPU time', () => {
  expect(cgroupThreads('150000 100000\n')).toBe(1.5);
  expect(cgroupThreads('max 100000')).toBeUndefined();
  expect(cgroupThreads('')).toBeUndefined();
});

it('reads GPUs from the tools of both vendors', async () => {
  const nvidia = 'NVIDIA H200, 143771, 570.86.15\nNVIDIA H200, 143771, 570.86.15';
  expect(parseNvidiaSmi(nvidia)[1]).toEqual({
    vendor: 'nvidia',
    name: 'NVIDIA H200',
    memoryBytes: 143771 * 2 ** 20,
    driver: '570.86.15',
  });
  const rocm = JSON.stringify({
    card0: { 'Card Series': 'AMD Instinct MI300X', 'VRAM Total Memory (B)': '206141652992' },
    system: { 'Driver version': '6.8' },
  });
  expect(parseRocmSmi(rocm)).toEqual([{ vendor: 'amd', name: 'AMD Instinct MI300X', memoryBytes: 206141652992 }]);
  const both: RunProgram = async (command) => ({ ok: true, stdout: command === 'nvidia-smi' ? nvidia : rocm });
  expect((await inspectGpus(both)).gpus).toHaveLength(3);
});

it('says when a driver is there and its tool is not', async () => {
  const { gpus, notes } = await inspectGpus(missing, (path) => path === '/dev/kfd');
  expect(gpus).toEqual([]);
  expect(notes).toEqual(['/dev/kfd exists, but rocm-smi: not installed']);
  expect((await inspectGpus(missing, () => false)).notes).toEqual(['no NVIDIA or AMD driver found']);
});

it('lists compilers with their versions, the one of $CXX first', async () => {
  const run: RunProgram = async (command) => {
    if (command === 'nvcc')
      return { ok: true, stdout: 'nvcc: NVIDIA (R) Cuda compiler driver\nrelease 12.4, V12.4.131' };
    return command.endsWith('clang++') ? { ok: true, stdout: 'clang version 17.0.6\nTarget: x' } : missing(command, []);
  };
  const tools = await inspectCompilers(run, { CXX: '/opt/clang++' });
  expect(tools[0]).toEqual({ command: '/opt/clang++', version: 'clang version 17.0.6' });
  expect(tools.find(({ command }) => command === 'g++')).toEqual({ command: 'g++', reason: 'not installed' });
  expect(tools.find(({ command }) => command === 'nvcc')!.version).toBe('CUDA 12.4');
});

it('runs programs without a shell, and takes a missing one as an answer', async () => {
  expect(await runProgram(process.execPath, ['-p', '"a;b"'])).toEqual({ ok: true, stdout: 'a;b' });
  expect(await runProgram('no-such-program-here', [])).toEqual({ ok: false, reason: 'not installed' });
  expect(await runProgram(process.execPath, ['-e', 'console.error("broken"); process.exit(3)'])).toEqual({
    ok: false,
    reason: 'broken',
  });
});

it('finds the disk of a folder that does not exist yet: that of the nearest one that does', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-disk-'));
  try {
    expect((await inspectDisk(join(folder, 'a/b/c'))).path).toBe(folder);
    expect((await inspectDisk(folder)).freeBytes).toBeGreaterThan(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('asks plugins of their subjects, and says which of them could not tell', async () => {
  const inspect = {
    well: async (env: NodeJS.ProcessEnv) => ({ label: 'oven', lines: [env.HEAT!], facts: { hot: true } }),
  };
  const source = {
    describe: () => [
      { id: 'well', plugin: 'p-oven' },
      { id: 'broken', plugin: 'p-fridge' },
    ],
    load: async (id: string) => {
      if (id === 'broken') throw new Error('no power');
      return { inspect: inspect.well };
    },
  };
  expect(await runDiagnoses(source, { HEAT: '200 C' })).toEqual([
    { id: 'well', plugin: 'p-oven', label: 'oven', lines: ['200 C'], facts: { hot: true } },
    {
      id: 'broken',
      plugin: 'p-fridge',
      label: 'broken',
      lines: ['p-fridge could not tell: no power'],
      facts: { reason: 'no power' },
    },
  ]);
});
