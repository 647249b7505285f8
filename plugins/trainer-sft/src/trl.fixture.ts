import {
  type CausalLanguageModel,
  memoryRows,
  nextTokenObjective,
  type RowSource,
  type TrainingEvent,
  train,
  trainingOptions,
} from '@largeforge/engine';

/** What test/fixtures/make_trl_*.py write: how TRL's SFTTrainer went, in f32, on rows in their order. */
export interface TrlRecord {
  readonly settings: {
    readonly steps: number;
    readonly batch: number;
    readonly accumulation: number;
    readonly packLength: number;
    readonly learning_rate: number;
    readonly weight_decay: number;
    readonly warmup_steps: number;
    readonly max_grad_norm: number;
  };
  readonly rows: readonly { readonly tokens: number[]; readonly mask: number[] }[];
  /** By "full" or "lora", with "-packed" when rows were packed. */
  readonly runs: Readonly<Record<string, TrlRun>>;
}

export interface TrlRun {
  readonly losses: number[];
  readonly gradNorms: number[];
  readonly learningRates: number[];
  /** The lengths of the rows in each packed row. */
  readonly packs: number[][];
}

export function rowsOf({ rows }: TrlRecord): RowSource {
  return memoryRows(
    rows.map(({ tokens, mask }) => ({ tokens: Int32Array.from(tokens), mask: Uint8Array.from(mask) })),
    (row) => row.tokens.length,
    'trl',
  );
}

/** Trains a model as the record's run was; the results have the record's shape. */
export async function trainAs(
  record: TrlRecord,
  model: CausalLanguageModel,
  packed: boolean,
  learningRate = record.settings.learning_rate,
): Promise<Omit<TrlRun, 'packs'>> {
  const { settings } = record;
  const steps: Extract<TrainingEvent, { type: 'step' }>[] = [];
  await train({
    model,
    objective: nextTokenObjective(model),
    rows: rowsOf(record),
    options: trainingOptions.parse({
      maxSteps: settings.steps,
      batchSize: settings.batch,
      accumulation: settings.accumulation,
      order: 'sequential',
      packing: packed ? settings.packLength : undefined,
      optimizer: { learningRate, weightDecay: settings.weight_decay, maxGradNorm: settings.max_grad_norm },
      schedule: { type: 'cosine', warmupSteps: settings.warmup_steps },
    }),
    onEvent: (event) => void (event.type === 'step' && steps.push(event)),
  });
  return {
    losses: steps.map((step) => step.loss),
    gradNorms: steps.map((step) => step.gradNorm),
    learningRates: steps.map((step) => step.learningRate),
  };
}

/** The largest difference of any step. Runs of different lengths differ without bound. */
export function largestDifference(ours: readonly number[], theirs: readonly number[]): number {
  if (ours.length !== theirs.length) return Number.POSITIVE_INFINITY;
  return Math.max(...ours.map((value, i) => Math.abs(value - theirs[i]!)));
}
