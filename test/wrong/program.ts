import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const program = fileURLToPath(new URL('../../core/bin/largeforge.mjs', import.meta.url));

export interface Ended {
  /** The exit code. */
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly process: ChildProcess;
  /** Resolves with what a pattern matches in what was printed so far; rejects when the program ends without it. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<Ended>;
}

/** Starts `largeforge` as a shell would; what still runs when the test ends is killed. */
export function start(line: string, cwd: string, env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(process.execPath, [program, ...line.split(' ')], { cwd, env: { ...process.env, ...env } });
  onTestFinished(() => void child.kill('SIGKILL'));
  const printed = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
      for (const listener of listeners) listener();
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exit) => resolve({ exit, ...printed }));
  });
  const until = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const found = pattern.exec(printed.stdout + printed.stderr);
        if (found) resolve(found);
      };
      listeners.add(look);
      look();
      ended.then(({ stdout, stderr }) => reject(new Error(`ended without ${pattern}:\n${stdout}${stderr}`)), reject);
    });
  return { process: child, until, ended };
}
