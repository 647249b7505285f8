import { bail, observers, reversed, series, sync, waterfall } from '../kernel/hook-definition.js';
import type { ConfigChange, ConfigValues } from './config-contract.js';
import type { DataSet, DataVerdict, StepPlan, StepResult } from './plan-contract.js';
import type {
  RouteDecision,
  RouteRequest,
  ServeAnswer,
  ServeConfiguration,
  ServeFailure,
  ServeOutcome,
  ServeRequest,
} from './serve-contract.js';
import type { TrainCheckpoint, TrainStep } from './train-contract.js';

/** Why something may not go on; no answer means that there is no objection. */
export interface Refusal {
  readonly reason: string;
  /** What to do about it. */
  readonly remedy?: string;
}

/**
 * The map of the lifecycle: every stage, its hooks, how their taps work together, and what each carries.
 * `ctx.hooks.train.plan.tap(...)` in a plugin's setup is typed by this record alone.
 */
export const lifecycleHooks = {
  config: {
    resolve: waterfall<ConfigValues>('the checked config, before anything is run'),
    ready: series<ConfigValues>('the config as it holds'),
    changed: series<ConfigChange>('reloadable values changed while the program runs'),
  },
  data: {
    plan: waterfall<StepPlan>('a data step as it will run'),
    transform: waterfall<DataSet>('rows of a data set, as a stream that taps may wrap'),
    validate: bail<DataVerdict, Refusal>('what is known of a data set; an answer refuses it'),
    ready: series<StepResult>('a data step has run'),
  },
  train: {
    plan: waterfall<StepPlan>('a training as it will run'),
    before: series<StepPlan>('a training begins'),
    step: sync<TrainStep>('an optimiser step is done'),
    checkpoint: series<TrainCheckpoint>('a checkpoint is on disk'),
    after: observers<StepResult>('a training has ended'),
  },
  optimize: {
    plan: waterfall<StepPlan>('a merge, quantisation or pruning as it will run'),
    before: series<StepPlan>('it begins'),
    after: series<StepResult>('it has run'),
    verify: bail<StepResult, Refusal>('whether its result may be used; an answer refuses it'),
  },
  evaluate: {
    plan: waterfall<StepPlan>('an evaluation as it will run'),
    gate: bail<StepResult, Refusal>('its figures; an answer stops the pipeline'),
    report: observers<StepResult & { readonly refusal?: Refusal }>('its figures, and whether a gate refused them'),
  },
  register: {
    admit: bail<StepResult, Refusal>('a model that wants to be registered; an answer refuses it'),
    publish: series<StepResult>('a model is registered'),
  },
  route: {
    candidates: waterfall<RouteRequest>('experts that may answer a query'),
    select: bail<RouteRequest, RouteDecision>('the expert; the first answer holds'),
    decided: observers<RouteDecision>('a query was routed'),
  },
  serve: {
    configure: series<ServeConfiguration>('a server, before it listens'),
    request: waterfall<ServeRequest>('a validated request; a tap may replace its body, or throw to refuse it'),
    response: observers<ServeOutcome>('a request was answered'),
    error: bail<ServeFailure, ServeAnswer>('a request failed; an answer is sent instead of the error'),
  },
  deploy: {
    plan: waterfall<StepPlan>('a deployment as it will happen'),
    apply: series<StepPlan>('it happens'),
    rollback: reversed<StepPlan>('it is undone, in reverse order'),
  },
  kernel: {
    ready: series<undefined>('every plugin is set up'),
    shutdown: series<undefined>('the program ends'),
  },
} as const;

export type LifecycleHooks = typeof lifecycleHooks;
