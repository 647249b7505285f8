import type { LoadedConfig } from '../config/load.js';
import type { PipelineStep } from '../config/schema.js';
import type { EventBus } from '../events/events.js';
import type { Logger } from '../kernel/plugin.js';
import type { PipelineOptions, PipelineOutcome } from '../pipeline/run.js';
import type { Application } from './application.js';

/** A step that a command makes up. */
export type StepRequest = Pick<PipelineStep, 'name' | 'stage' | 'use'> & { readonly with?: Record<string, unknown> };

/** What a command works with. */
export interface CommandContext {
  readonly application: Application;
  readonly config: LoadedConfig;
  readonly log: Logger;
  readonly events: EventBus;
  readonly signal: AbortSignal;
  /** Where the command was given: relative paths of its flags start here. */
  readonly cwd: string;
  /** Runs steps as a pipeline of their own. They are not skipped, however often they have run. */
  runSteps(steps: readonly StepRequest[], options?: PipelineOptions): Promise<PipelineOutcome>;
}
