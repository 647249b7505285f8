import type { z } from 'zod';
import type { EventBus } from '../events/events.js';
import type { FiringHooks } from '../kernel/hook-definition.js';
import type { Logger, RegistryViews } from '../kernel/plugin.js';
import type { ServicesView } from '../kernel/services.js';
import type { ChosenBackend, LifecycleRegistries, StageName } from './registries.js';
import type { LifecycleHooks } from './stages.js';

/** The config as it holds now, read only. */
export interface ConfigReader {
  /** The value at a path such as `log.level`; a path that starts with a dot is of the plugin's own options. */
  get(path: string): unknown;
}

/** What a running step works with. */
export interface StepContext<Stage extends StageName = StageName> {
  /** The step's name. */
  readonly name: string;
  /** Where this step may keep what it makes; it exists. */
  readonly outputDir: string;
  /** The folder that relative paths of the options start from. */
  readonly baseDir: string;
  /** A path of the options, absolute. */
  resolvePath(path: string): string;
  /** Aborted by the first Ctrl-C: write a checkpoint, let go of everything, and throw `signal.reason`. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly events: EventBus;
  /** Fires the hooks of the step's stage that the pipeline cannot fire itself, such as `train.step`. */
  readonly hooks: FiringHooks<LifecycleHooks>[Stage];
  readonly kernel: {
    readonly registries: RegistryViews<LifecycleRegistries>;
    readonly services: ServicesView;
    readonly config: ConfigReader;
    /** Fires hooks of other stages, such as `data.transform` from a trainer. */
    readonly hooks: FiringHooks<LifecycleHooks>;
  };
  /** The `backend` of the config: the named one, or the first that works here. */
  backend(): Promise<ChosenBackend>;
  /** Declares that an option may change while the step runs (a server's limits); `onChange` gets the new value. */
  reloadable(path: string, onChange: (value: unknown) => void | Promise<void>): void;
  /** The step was asked to run although it may have finished before. */
  readonly force: boolean;
  /** An earlier attempt at the same step did not finish: go on from its checkpoint if there is one. */
  readonly resume: boolean;
}

/** What a runner checks its options with, before any step has run. */
export interface CheckContext {
  /** The step's name. */
  readonly name: string;
  /** The folder that relative paths of the options start from. */
  readonly baseDir: string;
  /** A path of the options, absolute. */
  resolvePath(path: string): string;
  /**
   * Whether a value of the options is for an earlier step to make, and cannot be checked yet: it refers to an output, or
   * it is a path below one that an earlier step's options name.
   */
  comesLater(value: string): boolean;
  /** The `backend` of the config; a step that computes asks for it, to learn that none can be used. */
  backend(): Promise<ChosenBackend>;
  readonly kernel: { readonly registries: RegistryViews<LifecycleRegistries>; readonly services: ServicesView };
}

/** Something that a step of a pipeline can run: a trainer, an optimiser, an evaluator, a server ... */
export interface StepRunner<Options, Stage extends StageName = StageName> {
  /** Parsed before anything runs; errors carry the place in the config. */
  readonly options: z.ZodType<Options>;
  /**
   * Throws what a run would fail on and that can be told beforehand: a missing file, an unknown name. Called for every
   * step before the first one runs, and all that `--dry-run` does. It must be quick. Without it, the paths of `inputs`
   * are looked for.
   */
  check?(context: CheckContext, options: Options): void | Promise<void>;
  /** Returns what later steps refer to as ${steps.<name>.<key>}: plain JSON values, paths absolute. */
  run(context: StepContext<Stage>, options: Options): Promise<Record<string, unknown>>;
  /** Files and folders whose content decides whether the step must run again; what does not exist counts by its name. */
  inputs?(options: Options): { readonly paths: readonly string[] };
  /** Keys of the outputs, when they are known: a reference to another is refused before anything runs. */
  readonly outputs?: readonly string[];
  /** False for what leaves no lasting result: it is never skipped. Servers need not say it. */
  readonly cacheable?: boolean;
}

/** A runner whose option type does not matter to the reader. */
export interface AnyStepRunner<Stage extends StageName> extends Omit<StepRunner<never, Stage>, 'options'> {
  readonly options: z.ZodType;
}

/** Declares a runner for a stage; types the context's hooks by the stage and the options by the schema. */
export function defineStepRunner<Stage extends StageName, Options>(
  _stage: Stage,
  runner: StepRunner<Options, Stage>,
): StepRunner<Options, Stage> {
  return runner;
}
