import {
  type CausalLanguageModel,
  chunkedLogitLoss,
  commands,
  ignoredLabel,
  type Objective,
  ops,
  type RecordedLoss,
  type RowRange,
  scope,
  Tensor,
  type TokenBatch,
  type TokenRow,
  withoutTape,
} from '@largeforge/engine';
import { type FeatureSettings, projectionName } from './features/feature-settings.js';
import type { Teacher, TeacherAnswers } from './teacher/teacher.js';

/** How a student learns from its teacher. */
export interface DistillationSettings {
  /** Both logits are divided by it. */
  readonly temperature: number;
  /** 0 is KL(teacher || student), 1 KL(student || teacher), between them the generalised Jensen-Shannon divergence. */
  readonly beta: number;
  /** Share of the divergence in the loss; the rest is the cross-entropy of the rows' own tokens. */
  readonly alpha: number;
  /** Whether the divergence counts temperature^2 times, so that its gradients keep their size (Hinton et al. 2015, 2). */
  readonly scaleByTemperature: boolean;
}

/** What a distillation has besides, and the numbers of its settings do not tell. */
export interface DistillationExtras<Row> {
  readonly features?: FeatureSettings | undefined;
  /** Puts the student's own answers in the place of rows. */
  readonly prepare?: Objective<Row, unknown>['prepare'];
}

/**
 * Distillation of logits (Hinton et al. 2015, arXiv 1503.02531; generalised divergences of Agarwal et al. 2024, GKD, arXiv
 * 2306.13649): a mean over targets of alpha * T^2 * divergence + (1 - alpha) * cross-entropy, and of the squared error of
 * hidden states where features are learnt. Held-out rows are measured by cross-entropy, so that runs with different teachers
 * can be compared.
 * @param collate lays rows out for student and teacher
 */
export function distillationObjective<Row extends TokenRow, Batch extends TokenBatch>(
  model: CausalLanguageModel,
  teacher: Teacher<Batch>,
  settings: DistillationSettings,
  collate: (rows: readonly Row[]) => Batch,
  { features, prepare }: DistillationExtras<Row> = {},
): Objective<Row, Batch> {
  const { alpha, temperature } = settings;
  const { pairs = [], projections = [], weight: featureWeight = 0 } = features ?? {};
  const learnt = projections.flatMap((projection, i) =>
    projection ? [[projectionName((pairs[i] as readonly number[])[0] as number), projection] as const] : [],
  );
  const factor = alpha * (settings.scaleByTemperature ? temperature ** 2 : 1);
  return {
    name: `distill ${JSON.stringify({ ...settings, ...(features && { features: { pairs, weight: featureWeight } }) })}`,
    parameters: new Map(learnt),
    ...(prepare && { prepare }),
    collate,
    weight: (batch) => batch.targets,
    tokens: (batch) => batch.tokens.length,
    loss(batch, { scale, forward }): RecordedLoss {
      const { recorder } = model.device;
      const { targets, labels } = targetsOf(model, batch);
      const answers = teacher.answer(
        batch,
        targets,
        pairs.map(([, layer]) => layer),
      );
      const { last, layers } = model.hiddenStates(
        batch,
        pairs.map(([layer]) => layer),
        forward,
      );
      const hidden = ops.gatherRows(last, targets);
      const errors = layers.map((state, i) => {
        const own = ops.cast(ops.gatherRows(state, targets), 'f32');
        const projection = projections[i];
        const projected = projection ? ops.linear(own, projection, { dtype: 'f32' }) : own;
        const taught = ops.cast(answers.states[i] as Tensor, 'f32');
        // The pairs count together as one.
        return ops.squaredError(projected, taught, (scale * featureWeight) / pairs.length);
      });
      const divergence = chunkedLogitLoss(model, hidden, divergenceOf(teacher, answers, settings, scale * factor));
      const { nll } =
        alpha < 1
          ? model.crossEntropy(hidden, labels, { gradScale: scale * (1 - alpha) })
          : withoutTape(() => model.crossEntropy(hidden, labels));
      const values = Tensor.empty(model.device, divergence.shape, 'f32');
      commands.binary(recorder, 'add', divergence, nll, values, factor, 1 - alpha);
      if (errors.length === 0) return { values, fused: true, metrics: { divergence, nll } };
      const featureError = Tensor.zeros(model.device, divergence.shape, 'f32');
      for (const error of errors) {
        commands.binary(recorder, 'add', featureError, error, featureError, 1, 1 / errors.length);
      }
      commands.binary(recorder, 'add', values, featureError, values, 1, featureWeight);
      return { values, fused: true, metrics: { divergence, nll, features: featureError } };
    },
    async evaluate(batch) {
      const [divergence, nll, argmax] = scope(() => {
        const { targets, labels } = targetsOf(model, batch);
        const answers = teacher.answer(batch, targets);
        const hidden = ops.gatherRows(model.hidden(batch), targets);
        const losses = chunkedLogitLoss(model, hidden, divergenceOf(teacher, answers, settings, 0));
        const result = model.crossEntropy(hidden, labels, { outputs: { argmax: true } });
        return [losses, result.nll, result.argmax as Tensor] as const;
      });
      const sum = async (values: Tensor) => (await values.floats()).reduce((total, value) => total + value, 0);
      const wanted = batch.labels.filter((label) => label !== ignoredLabel);
      const correct = (await argmax.ints()).reduce((count, token, i) => count + (token === wanted[i] ? 1 : 0), 0);
      const weight = batch.targets;
      const sums = {
        loss: { sum: await sum(nll), weight },
        accuracy: { sum: correct, weight },
        divergence: { sum: await sum(divergence), weight },
      };
      for (const tensor of [divergence, nll, argmax]) tensor.dispose();
      return sums;
    },
  };
}

/** Positions that have a label, and their labels, on the device. */
function targetsOf({ device }: CausalLanguageModel, { labels, targets }: TokenBatch) {
  const positions = new Int32Array(targets);
  const wanted = new Int32Array(targets);
  let count = 0;
  for (const [t, label] of labels.entries()) {
    if (label === ignoredLabel) continue;
    positions[count] = t;
    wanted[count++] = label;
  }
  return { targets: Tensor.from(device, positions), labels: Tensor.from(device, wanted) };
}

/** The loss of a chunk of the student's logits; their gradient takes their place. */
function divergenceOf<Batch extends TokenBatch>(
  teacher: Teacher<Batch>,
  answers: TeacherAnswers,
  { temperature, beta }: DistillationSettings,
  scale: number,
) {
  return (logits: Tensor, rows: RowRange): Tensor => {
    const { device } = logits;
    const own = logits.shape[1] as number;
    // Tables may be padded to different sizes: what only one of the two has takes no part.
    const shared = Math.min(own, teacher.vocabSize);
    const student = logits.narrow(1, 0, shared);
    const loss = Tensor.empty(device, [rows.count], 'f32');
    teacher.restrict?.(student);
    const taught = answers.logits(rows).narrow(1, 0, shared);
    commands.divergence(device.recorder, { temperature, beta, scale }, { student, teacher: taught, loss });
    if (shared < own) commands.fill(device.recorder, 0, logits.narrow(1, shared, own - shared));
    return loss;
  };
}
