import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { commands, openDevice, scope } from '@largeforge/engine';
import { locateLibrary, locateProgram } from '../library.js';
import type { KernelWork } from './kernels.js';

/** What the machine can do at most: operations and bytes a second. 0 is what the level has no instruction for. */
export interface MachineLimits {
  readonly f32: number;
  readonly bf16: number;
  readonly int8: number;
  readonly read: number;
}

export interface KernelMeasurement {
  readonly name: string;
  readonly shape: string;
  readonly seconds: number;
  /** Whether products or memory take longer at the machine's limits. */
  readonly bound: 'compute' | 'memory';
  /** The time at the machine's limits over the time measured (Williams et al. 2009). */
  readonly share: number;
}

/** Seconds that each kernel is run for, at least. */
const LEAST_SECONDS = 0.3;
const TRIES = 5;

/** Measures loops that do nothing but multiply, or read, on that many threads at an ISA level. */
export async function machineLimits(isa: string, threads: number): Promise<MachineLimits> {
  const { stdout } = await promisify(execFile)(locateProgram('roofline'), [isa, String(threads)]);
  return JSON.parse(stdout) as MachineLimits;
}

/** Runs one kernel alone. The best of several tries counts: what else runs on the machine only takes away. */
export async function measureKernel(
  work: KernelWork,
  limits: MachineLimits,
  { isa, threads }: { isa?: string; threads?: number },
): Promise<KernelMeasurement> {
  const device = openDevice({ library: locateLibrary(), isa, threads });
  try {
    const record = work.prepare(device, commands);
    const run = async (times: number) => {
      const start = performance.now();
      scope(() => {
        for (let i = 0; i < times; i++) record();
      });
      await device.flush();
      return (performance.now() - start) / 1000;
    };
    await run(1);
    const times = Math.max(1, Math.ceil(LEAST_SECONDS / TRIES / Math.max(await run(1), 1e-6)));
    let seconds = Number.POSITIVE_INFINITY;
    for (let i = 0; i < TRIES; i++) seconds = Math.min(seconds, (await run(times)) / times);
    const compute = work.flops / (limits[work.math] || limits.f32);
    const memory = work.bytes / limits.read;
    return {
      name: work.name,
      shape: work.shape,
      seconds,
      bound: compute >= memory ? 'compute' : 'memory',
      share: Math.max(compute, memory) / seconds,
    };
  } finally {
    device[Symbol.dispose]();
  }
}
