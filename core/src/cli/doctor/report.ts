import { platform, release } from 'node:os';
import { isSecretName, MASK } from '../../config/secrets.js';
import type { Probe } from '../../kernel/registry.js';
import type { Problem } from '../../lifecycle/diagnosis.js';
import { inspectCompilers, type ToolReport } from './compilers.js';
import { type CpuReport, inspectCpu, inspectMemory, type MemoryReport } from './cpu.js';
import { type DiagnosisReport, type DiagnosisSource, runDiagnoses } from './diagnoses.js';
import { type DiskReport, inspectDisk } from './disk.js';
import { type GpusReport, inspectGpus } from './gpus.js';
import type { RunProgram } from './programs.js';

/** One backend that a plugin offers, and whether this machine can use it. */
export interface BackendReport {
  readonly id: string;
  readonly plugin: string;
  readonly describe?: string;
  readonly priority: number;
  /** Why it cannot be used; absent when it can. */
  readonly reason?: string;
}

/** What the machine has, and what LargeForge would do with it. */
export interface DoctorReport {
  readonly largeforge: string;
  readonly system: { readonly platform: string; readonly release: string; readonly node: string };
  readonly cpu: CpuReport;
  readonly memory: MemoryReport;
  readonly disk: DiskReport;
  readonly compilers: readonly ToolReport[];
  readonly gpus: GpusReport;
  /** What plugins tell of their subjects. */
  readonly diagnoses: readonly DiagnosisReport[];
  /** LARGEFORGE_* and LF_* variables; values of secrets are masked. */
  readonly variables: Readonly<Record<string, string>>;
  readonly backends: readonly BackendReport[];
  /** What `backend: auto` takes; absent when nothing can be used. */
  readonly chosen?: { readonly id: string; readonly why: string };
  readonly problems: readonly Problem[];
}

/** The registry of backends, as far as the report reads it. */
export interface BackendSource {
  describe(): readonly { id: string; plugin: string; describe?: string; priority: number }[];
  probe(id: string): Promise<Probe>;
}

/** Asks everything at once; nothing that fails to answer keeps the rest from being told. */
export async function makeReport(sources: {
  version: string;
  cwd: string;
  environment: NodeJS.ProcessEnv;
  backends: BackendSource;
  diagnoses: DiagnosisSource;
  run: RunProgram;
}): Promise<DoctorReport> {
  const { version, cwd, environment, run } = sources;
  const [disk, compilers, gpus, diagnoses, backends] = await Promise.all([
    inspectDisk(cwd),
    inspectCompilers(run, environment),
    inspectGpus(run),
    runDiagnoses(sources.diagnoses, environment),
    inspectBackends(sources.backends),
  ]);
  const facts = { memory: inspectMemory(), disk, compilers, backends };
  const chosen = choose(backends);
  return {
    largeforge: version,
    system: { platform: platform(), release: release(), node: process.versions.node },
    cpu: inspectCpu(),
    gpus,
    diagnoses,
    variables: ownVariables(environment),
    ...facts,
    ...(chosen && { chosen }),
    problems: [...findProblems(facts), ...diagnoses.flatMap(({ problems = [] }) => problems)],
  };
}

async function inspectBackends(source: BackendSource): Promise<BackendReport[]> {
  return Promise.all(
    source.describe().map(async (entry) => {
      const probe = await source.probe(entry.id);
      return { ...entry, ...(!probe.ok && { reason: probe.reason }) };
    }),
  );
}

/** The backend that `auto` takes: by priority, then in the order of registration. */
function choose(backends: readonly BackendReport[]): DoctorReport['chosen'] {
  const sorted = [...backends].sort((a, b) => b.priority - a.priority);
  const index = sorted.findIndex(({ reason }) => reason === undefined);
  const taken = sorted[index];
  if (!taken) return undefined;
  const passed = sorted.slice(0, index).map(({ id, reason }) => `${id} is not usable: ${reason}`);
  const first = sorted.length === 1 ? 'the only backend' : 'the first by priority that works here';
  return { id: taken.id, why: [first, ...passed].join('; ') };
}

/** Variables that steer LargeForge, by name. */
export function ownVariables(environment: NodeJS.ProcessEnv): Record<string, string> {
  const own = Object.entries(environment).filter(([name]) => /^(LARGEFORGE_|LF_)/.test(name));
  const shown = own.map(([name, value = '']) => {
    // LARGEFORGE__server__apiKey names a path: any part of it may be a secret's name.
    const secret = name
      .replace(/^LARGEFORGE_+/, '')
      .split('__')
      .some(isSecretName);
    return [name, secret ? MASK : value];
  });
  return Object.fromEntries(shown.sort(([a], [b]) => (a! < b! ? -1 : 1)));
}

const GIB = 2 ** 30;

/** What keeps LargeForge from working here, or will soon, each with what to do. */
export function findProblems(facts: Pick<DoctorReport, 'memory' | 'disk' | 'compilers' | 'backends'>): Problem[] {
  const { memory, disk, compilers, backends } = facts;
  const problems: Problem[] = [];
  const usable = backends.some(({ reason }) => reason === undefined);
  if (backends.length === 0) {
    problems.push({
      what: 'no plugin offers a compute backend',
      remedy: 'list one in the config under plugins, such as @largeforge/backend-cpu',
    });
  } else if (!usable) {
    const reasons = backends.map(({ id, reason }) => `${id}: ${reason}`);
    problems.push({ what: `no backend works here (${reasons.join('; ')})`, remedy: 'fix one of the reasons above' });
  }
  if (!compilers.some(({ command, version }) => version !== undefined && !/nvcc|hipcc/.test(command))) {
    problems.push({
      what: 'no C++ compiler found',
      remedy:
        'only a build from source needs one: install g++ or clang++ (apt install g++, dnf install gcc-c++), or set CXX',
    });
  }
  if (disk.freeBytes < 2 * GIB) {
    problems.push({
      what: `less than 2 GiB free on the disk of ${disk.path}`,
      remedy: 'free some, or write models and checkpoints to another disk (runDir, outputDir)',
    });
  }
  const available = Math.min(memory.limitBytes ?? Infinity, memory.totalBytes);
  if (available < 2 * GIB) {
    problems.push({
      what: 'less than 2 GiB of memory',
      remedy:
        'use a small model with LoRA, a small batchSize and maxLength; or raise the memory limit of the container',
    });
  }
  return problems;
}
