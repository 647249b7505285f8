import type { RunProgram } from './programs.js';

export interface ToolReport {
  readonly command: string;
  /** The first line that it says of itself; absent when it cannot be used. */
  readonly version?: string;
  readonly reason?: string;
}

async function version(run: RunProgram, command: string): Promise<ToolReport> {
  const output = await run(command, ['--version']);
  if (!output.ok) return { command, reason: output.reason };
  // nvcc introduces itself at length and gives the release further down.
  const release = /release ([\d.]+)/.exec(output.stdout);
  const line = output.stdout.split('\n')[0]!.trim();
  return { command, version: command === 'nvcc' && release ? `CUDA ${release[1]}` : line };
}

/** C++ and GPU compilers. Only the first is needed to build from source, and none to run what is built. */
export async function inspectCompilers(run: RunProgram, environment: NodeJS.ProcessEnv): Promise<ToolReport[]> {
  const commands = [environment.CXX, 'c++', 'g++', 'clang++', 'nvcc', 'hipcc'].filter((name) => name !== undefined);
  return Promise.all([...new Set(commands)].map((command) => version(run, command)));
}
