import { existsSync } from 'node:fs';
import type { RunProgram } from './programs.js';

export interface GpuReport {
  readonly vendor: 'nvidia' | 'amd';
  readonly name: string;
  readonly memoryBytes?: number;
  readonly driver?: string;
}

export interface GpusReport {
  readonly gpus: readonly GpuReport[];
  /** What was looked for and not found, or found and not usable. */
  readonly notes: readonly string[];
}

/** Lines of `nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits`. */
export function parseNvidiaSmi(output: string): GpuReport[] {
  return output
    .split('\n')
    .map((line) => line.split(',').map((cell) => cell.trim()))
    .filter((cells) => cells.length === 3)
    .map(([name, mebibytes, driver]) => ({
      vendor: 'nvidia',
      name: name!,
      ...(Number(mebibytes) > 0 && { memoryBytes: Number(mebibytes) * 2 ** 20 }),
      driver: driver!,
    }));
}

/** The JSON of `rocm-smi --showproductname --showmeminfo vram --json`; its key names vary with the release. */
export function parseRocmSmi(output: string): GpuReport[] {
  const cards = JSON.parse(output) as Record<string, Record<string, string>>;
  return Object.entries(cards)
    .filter(([name]) => name.startsWith('card'))
    .map(([card, fields]) => {
      const value = (pattern: RegExp) => Object.entries(fields).find(([key]) => pattern.test(key))?.[1];
      const memory = Number(value(/^VRAM Total Memory/i));
      return {
        vendor: 'amd' as const,
        name: value(/^Card Series/i) ?? value(/^Card model/i) ?? card,
        ...(memory > 0 && { memoryBytes: memory }),
      };
    });
}

/** GPUs as their drivers' tools report them, and device files that no tool speaks for. */
export async function inspectGpus(
  run: RunProgram,
  exists: (path: string) => boolean = existsSync,
): Promise<GpusReport> {
  const [nvidia, amd] = await Promise.all([
    run('nvidia-smi', ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader,nounits']),
    run('rocm-smi', ['--showproductname', '--showmeminfo', 'vram', '--json']),
  ]);
  const gpus: GpuReport[] = [];
  const notes: string[] = [];
  if (nvidia.ok) gpus.push(...parseNvidiaSmi(nvidia.stdout));
  else if (exists('/dev/nvidia0')) notes.push(`/dev/nvidia0 exists, but nvidia-smi: ${nvidia.reason}`);
  if (amd.ok) {
    try {
      gpus.push(...parseRocmSmi(amd.stdout));
    } catch {
      notes.push('rocm-smi printed something that is not JSON');
    }
  } else if (exists('/dev/kfd')) notes.push(`/dev/kfd exists, but rocm-smi: ${amd.reason}`);
  if (gpus.length === 0 && notes.length === 0) notes.push('no NVIDIA or AMD driver found');
  return { gpus, notes };
}
