import { spawn } from 'node:child_process';
import { program } from './served.js';

/** Runs a command of the program to its end, in a folder; gives its events. */
export function largeforge(folder: string, ...args: string[]): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args, '--log', 'json'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`exit code ${code}\n${out.slice(-2000)}\n${err.slice(-2000)}`));
      const lines = `${out}\n${err}`.split('\n').filter((line) => line.startsWith('{'));
      resolve(lines.map((line) => JSON.parse(line)));
    });
  });
}

/** What a training told of its held-out rows, in order. */
export function evaluations(events: readonly Record<string, unknown>[]): Record<string, number>[] {
  return events
    .filter((event) => event.type === 'train.evaluated')
    .map((event) => event.metrics as Record<string, number>);
}
