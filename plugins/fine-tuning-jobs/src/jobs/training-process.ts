import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunEvent } from '@largeforge/core';

/** How a training ended. */
export interface TrainingEnd {
  readonly code: number | null;
  /** Why it did not succeed, as it told at its end. */
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}

/** Whoever waits for a checkpoint waits so long. */
const killAfterMs = 60_000;

/**
 * A training in a process of its own: it cannot bring the server down, ends without leaving memory behind, and a
 * signal asks it for a checkpoint.
 */
export class TrainingProcess {
  readonly ended: Promise<TrainingEnd>;
  private readonly child: ChildProcess;

  /** @param config of a pipeline with the training, in the folder where it runs */
  constructor(folder: string, config: string, onEvent: (event: RunEvent) => void) {
    const args = [programFile(), 'run', '--config', config, '--log', 'json'];
    this.child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let complaint = '';
    this.child.stderr?.on('data', (chunk) => (complaint = (complaint + chunk).slice(-4000)));
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      if (line.startsWith('{')) onEvent(JSON.parse(line) as RunEvent);
    });
    this.ended = new Promise((resolve) => {
      this.child.on('error', (error) =>
        resolve({ code: null, failure: { code: 'training_failed', message: error.message } }),
      );
      this.child.on('close', (code) => resolve({ code, failure: failureIn(complaint) }));
    });
  }

  get id(): number | undefined {
    return this.child.pid;
  }

  /** Asks it to write a checkpoint and end. */
  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), killAfterMs);
    await this.ended;
    clearTimeout(timer);
  }
}

/** The error that a program told at its end: a line of JSON, or whatever it could still say. */
function failureIn(complaint: string): TrainingEnd['failure'] {
  for (const line of complaint.split('\n').reverse()) {
    if (!line.startsWith('{')) continue;
    try {
      const { type, code, message } = JSON.parse(line) as { type?: string; code?: string; message?: string };
      if (type === 'error' && message !== undefined) return { code: code ?? 'training_failed', message };
    } catch {
      // No JSON after all.
    }
  }
  const text = complaint.trim();
  return text === '' ? undefined : { code: 'training_failed', message: text };
}

/** Ends what a server that was killed has left running: two trainings in one folder would overwrite each other. */
export async function endLeftBehind(id: number, folder: string): Promise<void> {
  const ours = () => {
    try {
      return readFileSync(`/proc/${id}/cmdline`, 'utf8').includes(folder);
    } catch {
      return false;
    }
  };
  if (!ours()) return;
  process.kill(id, 'SIGTERM');
  for (let waited = 0; ours() && waited < killAfterMs; waited += 50) await sleep(50);
  if (ours()) process.kill(id, 'SIGKILL');
}

/** The command line program of the core. */
function programFile(): string {
  const core = createRequire(import.meta.url).resolve('@largeforge/core');
  for (let folder = dirname(core); ; folder = dirname(folder)) {
    const file = join(folder, 'bin/largeforge.mjs');
    if (existsSync(file)) return file;
    if (folder === dirname(folder)) throw new Error(`no program bin/largeforge.mjs above ${core}`);
  }
}
