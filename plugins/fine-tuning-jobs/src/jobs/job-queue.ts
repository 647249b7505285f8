import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Logger, RunEvent } from '@largeforge/core';
import { writeJson } from '@largeforge/engine';
import type { FileStore } from '../files/file-store.js';
import { refusals } from '../http/refusal.js';
import { hasEnded, type Job } from './job.js';
import type { JobRecord, JobStore } from './job-store.js';
import { JobProgress } from './progress.js';
import { endLeftBehind, TrainingProcess } from './training-process.js';
import { trainingStep } from './training-step.js';

/** What a job needs of the server's models: the service `models`, as far as it is used. */
export interface ModelLoader {
  list(): readonly { readonly id: string }[];
  load(spec: { readonly path: string; readonly id: string }): Promise<unknown>;
}

export interface JobQueueOptions {
  readonly store: JobStore;
  readonly files: FileStore;
  readonly models: () => Promise<ModelLoader>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Folders or files of base models, by the names that clients use. */
  readonly bases: Readonly<Record<string, string>>;
  /** Plugins and backend of the trainings. */
  readonly plugins: readonly unknown[];
  readonly backend: unknown;
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Trainings at a time. */
  readonly concurrency: number;
}

const now = () => Math.floor(Date.now() / 1000);

/**
 * Runs jobs in the order in which they came. A job is on disk from the moment at which it is told of: a server that
 * ends, or is killed, goes on with it from its last checkpoint when it is started again.
 */
export class JobQueue {
  private readonly running = new Map<string, { process?: TrainingProcess; cancelled: boolean; done: Promise<void> }>();
  private open = false;

  constructor(private readonly options: JobQueueOptions) {}

  /** Begins, or goes on where the server before ended; serves the adapters of the jobs that had succeeded. */
  async start(): Promise<void> {
    const { store } = this.options;
    for (const { job, process: left } of store.list().toReversed()) {
      if (job.status === 'succeeded' && job.fine_tuned_model !== null) await this.serve(job, job.fine_tuned_model);
      if (job.status !== 'running') continue;
      if (left !== undefined) await endLeftBehind(left, store.folderOf(job.id));
      store.update(job.id, { status: 'queued' }, { process: undefined });
      store.tell(job.id, 'The server was started again; the job goes on from its last checkpoint.');
    }
    this.open = true;
    this.advance();
  }

  submit(job: Job): Job {
    const { store } = this.options;
    store.add(job);
    store.tell(job.id, `Created fine-tuning job: ${job.id}`);
    store.update(job.id, { status: 'queued' });
    store.tell(job.id, 'Files validated, moving job to queued state');
    setImmediate(() => this.advance());
    return job;
  }

  async cancel(id: string): Promise<Job> {
    const { store } = this.options;
    const { job } = store.get(id);
    if (hasEnded(job)) throw refusals.ended(id, job.status);
    const running = this.running.get(id);
    if (running) {
      running.cancelled = true;
      await running.process?.stop();
      await running.done;
    } else this.end(id, { status: 'cancelled' }, 'The job was cancelled before it began.');
    return store.get(id).job;
  }

  /** The job that still needs a file, if any. */
  readerOf(file: string): string | undefined {
    const reads = ({ job }: JobRecord) => !hasEnded(job) && [job.training_file, job.validation_file].includes(file);
    return this.options.store.list().find(reads)?.job.id;
  }

  /** Asks what runs for a checkpoint; it goes on when the server is started again. */
  async close(): Promise<void> {
    this.open = false;
    await Promise.all([...this.running.values()].map(({ process, done }) => process?.stop().then(() => done)));
  }

  private advance(): void {
    const { store, concurrency } = this.options;
    while (this.open && this.running.size < concurrency) {
      const next = store.list().findLast(({ job }) => job.status === 'queued' && !this.running.has(job.id));
      if (!next) return;
      const { id } = next.job;
      const state: { process?: TrainingProcess; cancelled: boolean; done: Promise<void> } = {
        cancelled: false,
        done: Promise.resolve(),
      };
      this.running.set(id, state);
      state.done = this.train(next.job, state)
        .catch((error: unknown) => {
          this.options.log.warn({ err: error, job: id }, 'a fine-tuning job failed');
          this.fail(id, 'internal_error', error instanceof Error ? error.message : String(error));
        })
        .finally(() => {
          this.running.delete(id);
          this.advance();
        });
    }
  }

  private async train(job: Job, state: { process?: TrainingProcess; cancelled: boolean }): Promise<void> {
    const { store, files, bases, plugins, backend, defaults } = this.options;
    const { id } = job;
    const folder = store.folderOf(id);
    const config = join(folder, 'largeforge.config.json');
    const places = {
      model: bases[job.model] as string,
      training: files.pathOf(job.training_file),
      validation: job.validation_file === null ? undefined : files.pathOf(job.validation_file),
      outputDir: join(folder, 'adapter'),
    };
    writeJson(config, {
      plugins,
      ...(backend === undefined ? {} : { backend }),
      pipeline: [trainingStep(job, places, defaults)],
    });
    const progress = new JobProgress(store, id);
    const training = new TrainingProcess(folder, config, (event: RunEvent) => progress.take(event));
    state.process = training;
    store.update(id, { status: 'running' }, { process: training.id });
    store.tell(id, 'Fine-tuning job started');
    const { code, failure: told } = await training.ended;
    store.update(id, {}, { process: undefined });
    if (state.cancelled) return this.end(id, { status: 'cancelled' }, 'The job was cancelled.');
    if (code === 0) return this.succeed(job, places.outputDir, progress);
    // Ended by the server that is shutting down: the next one goes on with it.
    if (!this.open) return void store.update(id, { status: 'queued' });
    const unexplained = { code: 'training_failed', message: `the training ended with ${code}` };
    const failure = progress.failure ?? told ?? unexplained;
    this.fail(id, failure.code, failure.message);
  }

  private async succeed(job: Job, adapter: string, progress: JobProgress): Promise<void> {
    const { store, files } = this.options;
    const { id } = job;
    const name = `ft:${job.model}:${suffixOf(job)}`;
    const table = await files.add(Readable.from([progress.table()]), {
      filename: 'step_metrics.csv',
      purpose: 'fine-tune-results',
    });
    store.tell(id, `New fine-tuned model created: ${name}`);
    await this.serve(job, name, adapter);
    this.end(
      id,
      { status: 'succeeded', fine_tuned_model: name, result_files: [table.id], trained_tokens: progress.tokens },
      'The job has successfully completed',
    );
  }

  private async serve(
    job: Job,
    name: string,
    adapter = join(this.options.store.folderOf(job.id), 'adapter'),
  ): Promise<void> {
    const models = await this.options.models();
    if (models.list().some((model) => model.id === name)) return;
    try {
      await models.load({ path: adapter, id: name });
    } catch (error) {
      this.options.log.warn({ err: error, job: job.id, model: name }, 'a fine-tuned model cannot be served');
      this.options.store.tell(job.id, `The model ${name} cannot be served: ${(error as Error).message}`, {
        level: 'warn',
      });
    }
  }

  private fail(id: string, code: string, message: string): void {
    this.end(id, { status: 'failed', error: { code, message, param: null } }, message, 'error');
  }

  private end(id: string, job: Partial<Job>, message: string, level: 'info' | 'error' = 'info'): void {
    const { store } = this.options;
    // The status is what listeners look at when they are told.
    store.update(id, { ...job, finished_at: now(), estimated_finish: null });
    store.tell(id, message, { level });
  }
}

/** `suffix:0a1b2c3d`: a name that no other job has. */
function suffixOf({ id, user_provided_suffix: suffix }: Job): string {
  return `${suffix ?? 'largeforge'}:${createHash('sha256').update(id).digest('hex').slice(0, 8)}`;
}
