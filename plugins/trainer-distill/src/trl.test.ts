import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  commands,
  type Device,
  loadModel,
  memoryRows,
  openDevice,
  Parameter,
  Tensor,
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
  runs: (DistillationSettings & {
    losses: number[];
    gradNorms: number[];
    divergences: number[];
    /** Of the runs that learn hidden states. */
    pairs?: [number, number][];
    weight?: number;
    features?: number[];
  })[];
};

/** The first values of the i-th projection, as the script makes them. */
function projection(device: Device, i: number, own: number, taught: number): Parameter {
  const values = Float32Array.from({ length: taught * own }, (_, at) => 0.2 * Math.sin(at + i));
  const tensor = Tensor.empty(device, [taught, own], 'f32', 'persistent');
  const read = Tensor.from(device, values, [taught, own]);
  commands.copy(device.recorder, read, tensor);
  read.dispose();
  return Parameter.of(tensor, `projection.${i}`, { trainable: true });
}

async function distill({ temperature, beta, alpha, scaleByTemperature, pairs, weight = 1 }: (typeof runs)[number]) {
  using device = openDevice({ library: locateLibrary(), threads: 1 });
  const open = async (folder: string) => asCausal(await loadModel(device, join(fixtures, folder), { dtype: 'f32' }));
  const model = await open('trl_sft/model');
  model.setTrainable(true);
  const teacher = await open('trl_distill/teacher');
  const projections = (pairs ?? []).map((_, i) =>
    projection(device, i, model.config.hiddenSize, teacher.config.hiddenSize),
  );
  const objective = distillationObjective(
    model,
    modelTeacher(teacher),
    { temperature, beta, alpha, scaleByTemperature },
    tokenBatch,
    { features: pairs && { pairs, weight, projections } },
  );
  const learnt = [...(objective.parameters ?? [])];
  const tokens = rows
    .slice(0, 48)
    .map((row) => ({ tokens: Int32Array.from(row.tokens), mask: Uint8Array.from(row.mask) }));
  const steps: Extract<TrainingEvent, { type: 'step' }>[] = [];
  await train({
    model: {
      device,
      trainableParameters: () => new Map([...model.trainableParameters(), ...learnt]),
      zeroGrad() {
        model.zeroGrad();
        for (const [, parameter] of learnt) parameter.zeroGrad();
      },
    },
    objective,
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
  it.each(
    runs.map(
      (run) =>
        [
          `beta ${run.beta}, T ${run.temperature}, alpha ${run.alpha}${run.pairs ? `, layers ${run.pairs.join(' ')}` : ''}`,
          run,
        ] as const,
    ),
  )('%s', async (_, run) => {
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
    const features = steps.map((step) => step.metrics.features as number);
    if (run.features) expect(difference(features, run.features)).toBeLessThan(1e-3);
  });
});
