import type { z } from 'zod';
import type { EventBus } from '../events/events.js';
import type { Logger } from '../kernel/plugin.js';
import type { RegistryView } from '../kernel/registry.js';

/** The answer of a gate: nothing to say (undefined), or whether to go on, and why not. */
export type Verdict = { ok: true } | { ok: false; reason: string; remedy?: string };

/** A step as it will run: taps of a plan hook may change it. */
export interface StepPlan {
  /** The step's name in the pipeline. */
  readonly step: string;
  /** The chosen entry of the stage's registry. */
  readonly use: string;
  /** Its parsed options. */
  options: Record<string, unknown>;
}

export type DataPlan = StepPlan;
export type TrainPlan = StepPlan;
export type OptimizePlan = StepPlan;
export type EvaluatePlan = StepPlan;
export type DeployPlan = StepPlan;

/** A step that has run. */
export interface StepResult {
  readonly step: string;
  readonly use: string;
  readonly options: Record<string, unknown>;
  readonly outputs: Record<string, unknown>;
}

export type DataReady = StepResult;
export type TrainResult = StepResult;
export type OptimizeResult = StepResult;
export type EvaluateReport = StepResult;
export type EvaluateGate = StepResult;
export type RegisterCandidate = StepResult;

export interface TrainStep {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  /** Mean over the target tokens of the optimiser step. */
  readonly loss: number;
  readonly learningRate: number;
  /** Before clipping. */
  readonly gradNorm: number;
  readonly tokensPerSecond: number;
  readonly etaSeconds: number;
  readonly memoryBytes: number;
  /** What the trainer measures besides. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export interface CheckpointEvent {
  readonly step: number;
  readonly path: string;
}

export interface ConfigChange {
  /** Paths of the values that changed, such as `plugins[2].limits.queue`. */
  readonly paths: readonly string[];
  readonly config: Record<string, unknown>;
}

export interface RouteRequest {
  readonly query: string;
  candidates: { expert: string; confidence: number }[];
}

export interface RouteDecision {
  readonly expert: string | null;
  readonly confidence: number;
  readonly alternatives: readonly { expert: string; confidence: number }[];
}

export interface ServeConfiguration {
  readonly server: string;
  /** The server's own object (for the OpenAI server: the Fastify instance). */
  readonly instance: unknown;
}

export interface ServeRequest {
  readonly id: string;
  readonly route: string;
  body: Record<string, unknown>;
}

export interface ServeResponse {
  readonly id: string;
  readonly route: string;
  readonly status: number;
  readonly milliseconds: number;
}

export interface ServeFailure extends ServeResponse {
  readonly error: unknown;
}

/** Fires the hooks of a step's own stage. */
export interface StageHooks {
  fire(hook: string, value: unknown): Promise<unknown>;
}

/** What a running step works with. */
export interface StepContext {
  readonly name: string;
  /** Where this step may keep what it makes, unless its options say otherwise. */
  readonly outputDir: string;
  /** The folder that relative paths of the config start from. */
  readonly baseDir: string;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly events: EventBus;
  readonly hooks: StageHooks;
  readonly registries: { readonly [K in keyof LifecycleRegistries]: RegistryView<LifecycleRegistries[K]> };
  readonly services: { get<T>(key: string): Promise<T>; has(key: string): boolean };
  /** The `backend` of the config, resolved. */
  backend(): Promise<ChosenBackend>;
  readonly force: boolean;
  readonly resume: boolean;
}

/** Something that a pipeline's step can run: a trainer, an optimiser, an evaluator, a server ... */
export interface StepRunner<Options = Record<string, unknown>> {
  readonly options: z.ZodType<Options>;
  run(context: StepContext, options: Options): Promise<Record<string, unknown>>;
  /** Files and folders whose content decides whether the step must run again. */
  inputs?(options: Options): { paths: string[] };
  /** False for a step that has no lasting result (a server): it is never skipped. */
  readonly cacheable?: boolean;
}

/** A compute backend: a native library that speaks the backend ABI. */
export interface BackendEntry {
  readonly id: string;
  /** Path of the shared library. */
  readonly library: string;
}

export interface ChosenBackend extends BackendEntry {
  readonly threads?: number;
  readonly device?: number;
}

/** What each registry holds. `datasetFormat`, `storage` and `tracker` entries are contracts of the plugins that use them. */
export interface LifecycleRegistries {
  backend: BackendEntry;
  dataSource: StepRunner<never>;
  datasetFormat: unknown;
  trainer: StepRunner<never>;
  optimizer: StepRunner<never>;
  quantizer: StepRunner<never>;
  evaluator: StepRunner<never>;
  router: unknown;
  server: StepRunner<never>;
  storage: unknown;
  tracker: unknown;
}

export const registryNames = [
  'backend',
  'dataSource',
  'datasetFormat',
  'trainer',
  'optimizer',
  'quantizer',
  'evaluator',
  'router',
  'server',
  'storage',
  'tracker',
] as const satisfies readonly (keyof LifecycleRegistries)[];

/** Stages that a pipeline's step can name, and the registry that its `use` is looked up in. */
export const stageRegistry = {
  data: 'dataSource',
  train: 'trainer',
  optimize: 'optimizer',
  evaluate: 'evaluator',
  serve: 'server',
} as const satisfies Record<string, keyof LifecycleRegistries>;

export type StageName = keyof typeof stageRegistry;
