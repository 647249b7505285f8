import { existsSync, readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, freemem, totalmem } from 'node:os';

export interface CpuReport {
  readonly model: string;
  readonly architecture: string;
  /** Hardware threads that this process may use. */
  readonly threads: number;
  /** CPU time that the container allows, in threads, when it is less. */
  readonly quota?: number;
  /** Instruction sets that matter to the kernels and that the CPU has; empty when the system does not say. */
  readonly features: readonly string[];
}

export interface MemoryReport {
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** The container's limit, when it is below the machine's memory. */
  readonly limitBytes?: number;
}

/** Flag in /proc/cpuinfo, and the name that people know. */
const features: readonly (readonly [flag: string, name: string])[] = [
  ['sse4_2', 'SSE4.2'],
  ['avx', 'AVX'],
  ['avx2', 'AVX2'],
  ['fma', 'FMA'],
  ['f16c', 'F16C'],
  ['avx512f', 'AVX512F'],
  ['avx512bw', 'AVX512BW'],
  ['avx512vl', 'AVX512VL'],
  ['avx512_vnni', 'AVX512-VNNI'],
  ['avx512_bf16', 'AVX512-BF16'],
  ['avx512_fp16', 'AVX512-FP16'],
  ['amx_bf16', 'AMX-BF16'],
  ['amx_int8', 'AMX-INT8'],
  ['asimd', 'NEON'],
  ['bf16', 'BF16'],
  ['i8mm', 'I8MM'],
  ['sve', 'SVE'],
];

/** Names of the instruction sets in a /proc/cpuinfo. */
export function cpuFeatures(cpuinfo: string): string[] {
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(/\s+/) ?? []);
  return features.filter(([flag]) => flags.has(flag)).map(([, name]) => name);
}

/** Threads that a cgroup v2 `cpu.max` allows; undefined when it sets no limit. */
export function cgroupThreads(cpuMax: string): number | undefined {
  const [quota, period] = cpuMax.trim().split(/\s+/);
  const threads = Number(quota) / Number(period);
  return Number.isFinite(threads) ? threads : undefined;
}

function read(path: string): string {
  try {
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  } catch {
    return ''; // not every container may read these
  }
}

export function inspectCpu(): CpuReport {
  const threads = availableParallelism();
  const quota = cgroupThreads(read('/sys/fs/cgroup/cpu.max'));
  return {
    model: cpus()[0]?.model.trim() ?? 'unknown',
    architecture: arch(),
    threads,
    ...(quota !== undefined && quota < threads && { quota }),
    features: cpuFeatures(read('/proc/cpuinfo')),
  };
}

export function inspectMemory(): MemoryReport {
  const totalBytes = totalmem();
  const limit = Number(read('/sys/fs/cgroup/memory.max').trim() || 'max');
  return {
    totalBytes,
    freeBytes: freemem(),
    ...(Number.isFinite(limit) && limit < totalBytes && { limitBytes: limit }),
  };
}
