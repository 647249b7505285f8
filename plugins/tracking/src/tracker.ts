/** A training that is recorded. */
export interface TrackedRun {
  /** Of this run alone; sorts by time. */
  readonly id: string;
  /** The step's name in its pipeline. */
  readonly name: string;
  /** The trainer. */
  readonly use: string;
  /** The step's options; secrets are masked. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly startedAt: Date;
  /** Whether it goes on from an earlier run's checkpoint. */
  readonly resumed: boolean;
}

/** How a run ended. */
export interface RunEnd {
  readonly status: 'finished' | 'failed' | 'interrupted';
  readonly endedAt: Date;
  /** Its outputs, such as the last loss and where the weights are. */
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly error?: string;
}

/** Figures by name: `train/loss`, `eval/loss` ... */
export type Figures = Readonly<Record<string, number>>;

/** Takes the figures of one run. Calls come one after the other, steps never descend. */
export interface RunRecorder {
  log(step: number, figures: Figures, time: Date): void | Promise<void>;
  finish(end: RunEnd): void | Promise<void>;
}

/** An entry of the registry `tracker`. What it throws is told once, and ends its part of the run; training goes on. */
export interface Tracker {
  open(run: TrackedRun): RunRecorder | Promise<RunRecorder>;
}

declare module '@largeforge/core' {
  interface RegistryContracts {
    tracker: Tracker;
  }
}
