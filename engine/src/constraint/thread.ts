import { setTimeout as setTimeoutPromise } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { GrammarCall, GrammarReply, GrammarThreadData } from './messages.js';

interface Waiting {
  resolve(mask: Uint32Array | undefined): void;
  reject(error: Error): void;
}

/** Milliseconds by which the text of an abort may be later than the abort. */
const COMPLAINT_DELAY = 1000;

/** A running grammar thread. XGrammar aborts on bad input: then the thread is lost, and all calls to it fail. */
export class GrammarThread {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  /** What XGrammar wrote before it aborted. */
  private complaint = '';
  private dead: Error | undefined;

  constructor(data: GrammarThreadData) {
    this.worker = new Worker(threadFile(), { workerData: data, stdout: true, stderr: true });
    const collect = (chunk: Buffer) => {
      this.complaint = (this.complaint + chunk.toString()).slice(-4000);
    };
    this.worker.stderr.on('data', collect);
    this.worker.stdout.on('data', collect);
    this.worker.on('message', ({ id, mask, error }: GrammarReply) => {
      const call = this.waiting.get(id);
      this.waiting.delete(id);
      if (this.waiting.size === 0) this.worker.unref();
      if (error === undefined) call?.resolve(mask);
      else void this.reason(error).then((reason) => call?.reject(new Error(reason)));
    });
    this.worker.on('error', (error) => this.die(error));
    this.worker.on('exit', () => this.die(new Error('the grammar thread ended')));
    this.worker.unref();
  }

  /** Rejects when the grammar is wrong, when the thread is lost, and after `timeout` milliseconds, which ends the thread. */
  call(call: GrammarCall, timeout?: number): Promise<Uint32Array | undefined> {
    if (this.dead) return Promise.reject(this.dead);
    const id = this.nextId++;
    const answer = new Promise<Uint32Array | undefined>((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    this.worker.ref();
    this.worker.postMessage({ ...call, id });
    if (timeout === undefined) return answer;
    const timer = setTimeout(() => {
      this.die(new Error(`it took more than ${timeout / 1000} s to read`));
      void this.worker.terminate();
    }, timeout);
    return answer.finally(() => clearTimeout(timer));
  }

  async close(): Promise<void> {
    this.die(new Error('the grammar thread was closed'));
    await this.worker.terminate();
  }

  /** What XGrammar wrote, which arrives on another channel than the abort, perhaps a moment later; else the error itself. */
  private async reason(error: string): Promise<string> {
    const patience = performance.now() + (error.startsWith('Aborted') ? COMPLAINT_DELAY : 0);
    for (;;) {
      const fatal = /\[FATAL\][^:]*:\d+: (?:Check failed: \([^)]*\) is false: )?([^\n]+)/.exec(this.complaint)?.[1];
      if (fatal !== undefined || performance.now() >= patience) {
        this.complaint = '';
        return fatal ?? error;
      }
      await setTimeoutPromise(5);
    }
  }

  private die(error: Error): void {
    this.dead ??= error;
    const calls = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject } of calls) reject(this.dead);
  }
}

/** Compiled next to this file; when this file runs from its source (in tests), in the package's `dist`. */
function threadFile(): string {
  return fileURLToPath(new URL('./grammar-thread.js', import.meta.url).href.replace('/engine/src/', '/engine/dist/'));
}
