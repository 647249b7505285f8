import type { PluginContext } from '../application/context.js';
import type { LoadedConfig } from '../config/load.js';
import type { ConfigReloader } from '../config/reload.js';
import type { PipelineStep } from '../config/schema.js';
import type { ConfigNode } from '../config/tree.js';
import { resolveUserPath } from '../config/user-path.js';
import type { EventBus } from '../events/events.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Tracer } from '../kernel/trace.js';
import type { LifecycleRegistries } from '../lifecycle/registries.js';
import type { LifecycleHooks } from '../lifecycle/stages.js';
import type { Log } from '../log/log.js';

export interface PipelineOptions {
  /** Run every step, finished or not, from its beginning. */
  readonly force?: boolean;
  /** Run from this step on; the results of earlier ones are taken as they are. */
  readonly from?: string;
  /** Whether runners go on from their last checkpoint; unless given, those of which an attempt did not finish do. */
  readonly resume?: boolean;
  /** Check everything and run nothing. */
  readonly dryRun?: boolean;
  /** Aborted by a second Ctrl-C: the run rejects without waiting for the step. */
  readonly stop?: AbortSignal;
}

export interface PipelineOutcome {
  /** Outputs of every step, by name. */
  readonly outputs: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  readonly ran: readonly string[];
  readonly skipped: readonly string[];
}

/** What a run of steps works with. */
export interface PipelineRun {
  readonly steps: readonly PipelineStep[];
  /** The steps as they stand in the config, or made up by a command. */
  readonly nodes: readonly ConfigNode[];
  /** Whether the steps come from a config: errors name places in it, and results are kept for the next run. */
  readonly located: boolean;
  readonly baseDir: string;
  readonly config: LoadedConfig;
  readonly kernel: Kernel<LifecycleHooks, LifecycleRegistries, PluginContext>;
  readonly events: EventBus;
  readonly log: Log;
  readonly reloader: ConfigReloader;
  readonly tracer?: Tracer;
  readonly options: PipelineOptions;
}

/** Where runs keep their state: absolute. */
export function runDirOf(run: Pick<PipelineRun, 'baseDir' | 'config'>): string {
  return resolveUserPath(run.baseDir, run.config.root.runDir);
}
