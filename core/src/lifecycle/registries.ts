import type { Diagnosis } from './diagnosis.js';
import type { AnyStepRunner } from './step-runner.js';

/** A compute backend: a native library that speaks the backend ABI. */
export interface BackendEntry {
  readonly id: string;
  /** Path of the shared library. */
  readonly library: string;
}

/** The backend that the config's `backend` means, and how to open it. */
export interface ChosenBackend extends BackendEntry {
  readonly threads?: number;
  /** Which of its devices; 0 unless given. */
  readonly device?: number;
}

/**
 * Contracts of registries whose entries the core knows nothing about. The package that uses the entries declares theirs:
 * `declare module '@largeforge/core' { interface RegistryContracts { loss: ... } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: others add to it by declaration merging
export interface RegistryContracts {}

type ContractOf<Name extends string> = Name extends keyof RegistryContracts ? RegistryContracts[Name] : unknown;

/**
 * What each registry holds. Entries of `datasetFormat`, `loss`, `task`, `router`, `storage` and `tracker` are contracts of the
 * plugins that use them.
 */
export interface LifecycleRegistries {
  backend: BackendEntry;
  trainer: AnyStepRunner<'train'>;
  /** What a trainer minimises. */
  loss: ContractOf<'loss'>;
  optimizer: AnyStepRunner<'optimize'>;
  quantizer: AnyStepRunner<'optimize'>;
  evaluator: AnyStepRunner<'evaluate'>;
  /** What a model is measured on. */
  task: ContractOf<'task'>;
  router: unknown;
  server: AnyStepRunner<'serve'>;
  storage: unknown;
  /** What keeps the figures of trainings. */
  tracker: ContractOf<'tracker'>;
  datasetFormat: unknown;
  dataSource: AnyStepRunner<'data'>;
  /** What `largeforge doctor` asks. */
  diagnosis: Diagnosis;
}

export const registryNames = [
  'backend',
  'dataSource',
  'datasetFormat',
  'trainer',
  'loss',
  'optimizer',
  'quantizer',
  'evaluator',
  'task',
  'router',
  'server',
  'storage',
  'tracker',
  'diagnosis',
] as const satisfies readonly (keyof LifecycleRegistries)[];

/** Stages that a pipeline's step can name, and the registry in which its `use` is looked up. */
export const stageRegistry = {
  data: 'dataSource',
  train: 'trainer',
  optimize: 'optimizer',
  evaluate: 'evaluator',
  serve: 'server',
} as const satisfies Record<string, keyof LifecycleRegistries>;

export type StageName = keyof typeof stageRegistry;
