import type { CheckpointStore } from './store.js';

/**
 * Writes the checkpoints of a run, one at a time. With `background`, training goes on as soon as the files are written,
 * while they are digested and forced to disk: what a checkpoint holds is the state at the time of `write` in any case.
 */
export class CheckpointWriter {
  private running: Promise<void> = Promise.resolve();
  private failure: { readonly error: unknown } | undefined;

  constructor(
    private readonly store: CheckpointStore,
    private readonly background: boolean,
    private readonly written: (step: number, path: string) => Promise<void>,
  ) {}

  /** Throws what went wrong in the background since. */
  check(): void {
    if (this.failure) throw this.failure.error;
  }

  /** Waits until every checkpoint is there; throws what went wrong. */
  async settle(): Promise<void> {
    await this.running;
    this.check();
  }

  /** See `CheckpointStore.save`. */
  async write(step: number, fill: (folder: string) => Promise<void>, best: number | undefined): Promise<void> {
    await this.settle();
    const finish = await this.store.save(step, fill, best);
    this.running = finish()
      .then((path) => this.written(step, path))
      .catch((error: unknown) => {
        this.failure = { error };
      });
    if (!this.background) await this.settle();
  }
}
