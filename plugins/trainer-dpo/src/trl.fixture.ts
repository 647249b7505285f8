import type { JudgedRow } from '@largeforge/data';
import {
  type CausalLanguageModel,
  memoryRows,
  type Objective,
  type RowSource,
  type TokenRow,
  type TrainingEvent,
  train,
  trainingOptions,
} from '@largeforge/engine';
import { cpoMethod } from './cpo/method.js';
import { dpoMethod } from './dpo/method.js';
import type { DpoSettings } from './dpo/options.js';
import { ktoObjective } from './kto/objective.js';
import { orpoMethod } from './orpo/method.js';
import { pairObjective, type ReferredPair } from './pair-objective.js';
import type { Reference } from './reference/reference.js';

interface Side {
  readonly tokens: number[];
  /** Where the answer begins. */
  readonly from: number;
}

interface Pair {
  readonly chosen: Side;
  readonly rejected: Side;
}

type Judgement = Side & { readonly label: boolean };

/** What test/fixtures/make_trl_preference.py writes: how TRL's preference trainers went, in f32, on rows in their order. */
export interface PreferenceRecord {
  readonly settings: {
    readonly steps: number;
    readonly batch: number;
    readonly learning_rate: number;
    readonly weight_decay: number;
    readonly warmup_steps: number;
    readonly max_grad_norm: number;
  };
  readonly rows: { readonly dpo: Pair[]; readonly orpo: Pair[]; readonly cpo: Pair[]; readonly kto: Judgement[] };
  readonly runs: readonly PreferenceRun[];
}

export interface PreferenceRun {
  readonly kind: keyof PreferenceRecord['rows'];
  /** In TRL's names. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly lora: boolean;
  /** Of each step, by TRL's names; null where a step has none. */
  readonly figures: Readonly<Record<string, (number | null)[]>>;
}

export function runTitle({ kind, options, lora }: PreferenceRun): string {
  return `${kind} ${JSON.stringify(options)}${lora ? ', LoRA' : ''}`;
}

/** Trains a model as a run of the record was; figures are by TRL's names. */
export async function trainAs(
  record: PreferenceRecord,
  run: PreferenceRun,
  model: CausalLanguageModel,
  reference: Reference,
): Promise<Record<string, number[]>> {
  if (run.kind === 'kto') {
    const rows = record.rows.kto.map(
      (row): JudgedRow => ({ ...tokenRow(row), verdict: row.label ? 'chosen' : 'rejected' }),
    );
    const { loss_type: loss, beta, desirable_weight = 1, undesirable_weight = 1 } = run.options;
    const settings = { loss, beta, desirableWeight: desirable_weight, undesirableWeight: undesirable_weight };
    const source = memoryRows(rows, (row) => row.tokens.length, 'trl');
    return trainOn(record, model, source, ktoObjective(model, settings as never, reference));
  }
  const rows = record.rows[run.kind].map((row) => ({ chosen: tokenRow(row.chosen), rejected: tokenRow(row.rejected) }));
  const source = memoryRows<ReferredPair>(rows, (row) => row.chosen.tokens.length + row.rejected.tokens.length, 'trl');
  const method = methodOf(run);
  return trainOn(record, model, source, pairObjective(model, method, run.kind === 'dpo' ? reference : undefined));
}

function methodOf({ kind, options }: PreferenceRun) {
  const { beta, label_smoothing: labelSmoothing = 0 } = options;
  switch (kind) {
    case 'orpo':
      return orpoMethod({ beta: beta as number });
    case 'cpo': {
      const { loss_type: loss, cpo_alpha: cpoAlpha, simpo_gamma: simpoGamma } = options;
      return cpoMethod({ loss, beta, labelSmoothing, cpoAlpha, simpoGamma } as never);
    }
    default: {
      const { loss_type: loss, loss_weights: lossWeights, ld_alpha: ldAlpha } = options;
      const { f_divergence_type: fDivergence = 'reverse_kl', f_alpha_divergence_coef: fAlpha = 0.5 } = options;
      const settings = { loss, lossWeights, beta, labelSmoothing, discopopTau: 0.05, fDivergence, fAlpha, ldAlpha };
      return dpoMethod(settings as DpoSettings);
    }
  }
}

async function trainOn<Row, Batch>(
  { settings }: PreferenceRecord,
  model: CausalLanguageModel,
  rows: RowSource<Row>,
  objective: Objective<Row, Batch>,
): Promise<Record<string, number[]>> {
  const figures: Record<string, number[]> = { loss: [], grad_norm: [] };
  const keep = ({ step, loss, gradNorm, metrics }: Extract<TrainingEvent, { type: 'step' }>) => {
    for (const [name, value] of Object.entries({ loss, grad_norm: gradNorm, ...metrics })) {
      figures[name] ??= new Array<number>(settings.steps).fill(Number.NaN);
      figures[name][step - 1] = value;
    }
  };
  await train({
    model,
    objective,
    rows,
    options: trainingOptions.parse({
      maxSteps: settings.steps,
      batchSize: settings.batch,
      order: 'sequential',
      optimizer: {
        learningRate: settings.learning_rate,
        weightDecay: settings.weight_decay,
        maxGradNorm: settings.max_grad_norm,
      },
      schedule: { type: 'cosine', warmupSteps: settings.warmup_steps },
    }),
    onEvent: (event) => void (event.type === 'step' && keep(event)),
  });
  return figures;
}

function tokenRow({ tokens, from }: Side): TokenRow {
  return { tokens: Int32Array.from(tokens), mask: Uint8Array.from(tokens, (_, t) => (t >= from ? 1 : 0)) };
}

/** The largest difference of a figure in any step, relative where the figure is larger than 1. */
export function largestDifference(ours: readonly number[], theirs: readonly (number | null)[]): number {
  if (ours.length !== theirs.length) return Number.POSITIVE_INFINITY;
  return Math.max(
    ...theirs.map((value, i) =>
      value === null ? 0 : Math.abs((ours[i] as number) - value) / Math.max(1, Math.abs(value)),
    ),
  );
}
