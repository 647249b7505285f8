import type { HookKind } from '../kernel/hooks.js';
import type {
  CheckpointEvent,
  ConfigChange,
  DataPlan,
  DataReady,
  DeployPlan,
  EvaluateGate,
  EvaluatePlan,
  EvaluateReport,
  OptimizePlan,
  OptimizeResult,
  RegisterCandidate,
  RouteDecision,
  RouteRequest,
  ServeConfiguration,
  ServeFailure,
  ServeRequest,
  ServeResponse,
  TrainPlan,
  TrainResult,
  TrainStep,
  Verdict,
} from './contracts.js';

/** One hook's type: what its taps receive and what they may answer. */
interface HookOf<Value, Result = void> {
  value: Value;
  result: Result;
}

/**
 * The map of the lifecycle: every stage, its hooks, and what each carries. Waterfall hooks pass a value on (a tap that
 * returns nothing leaves it as it is), bail hooks end with the first answer, observers run side by side.
 */
export interface LifecycleHooks {
  config: {
    resolve: HookOf<Record<string, unknown>, Record<string, unknown> | undefined>;
    ready: HookOf<Record<string, unknown>>;
    changed: HookOf<ConfigChange>;
  };
  data: {
    plan: HookOf<DataPlan, DataPlan | undefined>;
    transform: HookOf<DataPlan, DataPlan | undefined>;
    validate: HookOf<DataReady, Verdict | undefined>;
    ready: HookOf<DataReady>;
  };
  train: {
    plan: HookOf<TrainPlan, TrainPlan | undefined>;
    before: HookOf<TrainPlan>;
    step: HookOf<TrainStep>;
    checkpoint: HookOf<CheckpointEvent>;
    after: HookOf<TrainResult>;
  };
  optimize: {
    plan: HookOf<OptimizePlan, OptimizePlan | undefined>;
    before: HookOf<OptimizePlan>;
    after: HookOf<OptimizeResult>;
    verify: HookOf<OptimizeResult, Verdict | undefined>;
  };
  evaluate: {
    plan: HookOf<EvaluatePlan, EvaluatePlan | undefined>;
    gate: HookOf<EvaluateGate, Verdict | undefined>;
    report: HookOf<EvaluateReport>;
  };
  register: {
    admit: HookOf<RegisterCandidate, Verdict | undefined>;
    publish: HookOf<RegisterCandidate>;
  };
  route: {
    candidates: HookOf<RouteRequest, RouteRequest | undefined>;
    select: HookOf<RouteRequest, RouteDecision | undefined>;
    decided: HookOf<RouteDecision>;
  };
  serve: {
    configure: HookOf<ServeConfiguration>;
    request: HookOf<ServeRequest, ServeRequest | undefined>;
    response: HookOf<ServeResponse>;
    error: HookOf<ServeFailure, { status: number; message: string } | undefined>;
  };
  deploy: {
    plan: HookOf<DeployPlan, DeployPlan | undefined>;
    apply: HookOf<DeployPlan>;
    rollback: HookOf<DeployPlan>;
  };
  kernel: {
    ready: HookOf<undefined>;
    shutdown: HookOf<undefined>;
  };
}

/** How the taps of each hook work together. */
export const lifecycleHooks: { [S in keyof LifecycleHooks]: { [H in keyof LifecycleHooks[S]]: HookKind } } = {
  config: { resolve: 'waterfall', ready: 'series', changed: 'series' },
  data: { plan: 'waterfall', transform: 'waterfall', validate: 'bail', ready: 'series' },
  train: { plan: 'waterfall', before: 'series', step: 'observers', checkpoint: 'series', after: 'observers' },
  optimize: { plan: 'waterfall', before: 'series', after: 'series', verify: 'bail' },
  evaluate: { plan: 'waterfall', gate: 'bail', report: 'observers' },
  register: { admit: 'bail', publish: 'series' },
  route: { candidates: 'waterfall', select: 'bail', decided: 'observers' },
  serve: { configure: 'series', request: 'waterfall', response: 'observers', error: 'bail' },
  deploy: { plan: 'waterfall', apply: 'series', rollback: 'series' },
  kernel: { ready: 'series', shutdown: 'series' },
};
