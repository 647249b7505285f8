/** A step as it will run. Taps of a stage's plan hook return a changed copy; the options are parsed again. */
export interface StepPlan {
  /** The step's name in the pipeline. */
  readonly step: string;
  /** The chosen entry of the stage's registry, such as the trainer `sft`. */
  readonly use: string;
  /** What the config's `with` says, references replaced, parsed by the entry's schema. */
  readonly options: unknown;
  /** Where the step may keep what it makes. */
  readonly outputDir: string;
  /** Whether it goes on from an earlier attempt. */
  readonly resume: boolean;
}

/** A step that has run. */
export interface StepResult {
  readonly plan: StepPlan;
  /** What later steps refer to as ${steps.<name>.<key>}. */
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** Rows on their way to a trainer. A tap that changes them returns a copy with another stream, wrapped around this one. */
export interface DataSet {
  readonly source: string;
  readonly format: string;
  readonly rows: AsyncIterable<unknown> | Iterable<unknown>;
}

/** What is known of a data set before anything is trained on it. */
export interface DataVerdict {
  readonly source: string;
  readonly format: string;
  /** The figures of the event `data.report`. */
  readonly report: Readonly<Record<string, unknown>>;
}
