import { type Logger, reasonOf } from '@largeforge/core';
import type { Figures, RunEnd, RunRecorder, TrackedRun, Tracker } from '../tracker.js';

/**
 * One run on its way to one tracker. Whoever trains never waits for it: calls queue up and are made one after the other.
 * The first failure is told, and nothing more is sent.
 */
class TrackerQueue {
  private last: Promise<unknown>;
  private failed = false;
  private recorder: RunRecorder | undefined;

  constructor(
    private readonly name: string,
    tracker: () => Promise<Tracker>,
    run: TrackedRun,
    private readonly log: Pick<Logger, 'warn'>,
  ) {
    this.last = this.guarded(async () => {
      this.recorder = await (await tracker()).open(run);
    });
  }

  add(call: (recorder: RunRecorder) => void | Promise<void>): void {
    this.last = this.last.then(() => this.guarded(async () => this.recorder && call(this.recorder)));
  }

  async settled(): Promise<void> {
    await this.last;
  }

  private async guarded(action: () => Promise<unknown>): Promise<void> {
    if (this.failed) return;
    try {
      await action();
    } catch (error) {
      this.failed = true;
      this.log.warn(
        { err: error },
        `the tracker ${this.name} failed and records no more of this run: ${reasonOf(error)}`,
      );
    }
  }
}

/** One run on its way to every tracker. */
export class RecordingSession {
  private readonly queues: readonly TrackerQueue[];

  constructor(
    readonly run: TrackedRun,
    trackers: ReadonlyMap<string, () => Promise<Tracker>>,
    log: Pick<Logger, 'warn'>,
  ) {
    this.queues = [...trackers].map(([name, tracker]) => new TrackerQueue(name, tracker, run, log));
  }

  record(step: number, figures: Figures, time: Date): void {
    for (const queue of this.queues) queue.add((recorder) => recorder.log(step, figures, time));
  }

  /** Resolves when every tracker has all of the run. */
  async finish(end: RunEnd): Promise<void> {
    for (const queue of this.queues) queue.add((recorder) => recorder.finish(end));
    await Promise.all(this.queues.map((queue) => queue.settled()));
  }
}
