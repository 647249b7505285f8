import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  loadModel,
  memoryRows,
  openDevice,
  type TrainingEvent,
  tokenBatch,
  train,
  trainingOptions,
} from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { type DistillationSettings, distillationObjective } from './objective.js';
import { modelTeacher } from './teacher/teacher.js';

/** Made by test/fixtures/make_trl_distill.py. */
const fixtures = fileURLToPath(new URL('../../../test/fixtures', import.meta.url));
const read = (file: string) => JSON.parse(readFileSync(join(fixtures, file), 'utf8'));
const { rows } = read('trl_sft/losses.json') as { rows: { tokens: number[]; mask: number[] }[] };
const { settings, runs } = read('trl_distill/losses.json') as {
  settings: {
    steps: number;
    batch: number;
    learning_rate: number;
    weight_decay: number;
    warmup_steps: number;
    max_grad_norm: number;
  };
  runs: (DistillationSettings & { losses: number[]; gradNorms: number[]; divergences: number[] })[];
};

async function distill({ temperature, beta, alpha, scaleByTemperature }: DistillationSettings) {
  using device = openDevice({ library: locateLibrary(), threads: 1 });
  const open = async (folder: string) => asCausal(await loadModel(device, join(fixtures, folder), { dtype: 'f32' }));
  const model = await open('trl_sft/model');
  model.setTrainable(true);
  const teacher = modelTeacher(await open('trl_distill/teacher'));
  const tokens = rows
    .slice(0, 48)
    .map((row) => ({ tokens: Int32Array.from(row.tokens), mask: Uint8Array.from(row.mask) }));
  const steps: Extract<TrainingEvent, { type: 'step' }>[] = [];
  await train({
    model,
    objective: distillationObjective(model, teacher, { temperature, beta, alpha, scaleByTemperature }, tokenBatch),
    rows: memoryRows(tokens, (row) => row.tokens.length, 'rows'),
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
    onEvent: (event) => void (event.type === 'step' && steps.push(event)),
  });
  return steps;
}

const difference = (ours: readonly number[], theirs: readonly number[]) =>
  Math.max(...theirs.map((value, i) => Math.abs((ours[i] as number) - value)));

describe("the first 50 steps against the formulae of TRL's GKDTrainer, f32", () => {
  it.each(runs.map((run) => [`beta ${run.beta}, T ${run.temperature}, alpha ${run.alpha}`, run] as const))(
    '%s',
    async (_, run) => {
      const steps = await distill(run);
      expect(steps.length).toBe(50);
      expect(
        difference(
          steps.map((step) => step.loss),
          run.losses,
        ),
      ).toBeLessThan(1e-3);
      expect(
        difference(
          steps.map((step) => step.gradNorm),
          run.gradNorms,
        ),
      ).toBeLessThan(1e-2);
      const divergences = steps.map((step) => step.metrics.divergence as number);
      expect(difference(divergences, run.divergences)).toBeLessThan(1e-3);
    },
  );
});
