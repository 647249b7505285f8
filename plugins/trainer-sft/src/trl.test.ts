import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  loadAdapter,
  loadModel,
  memoryRows,
  nextTokenObjective,
  openDevice,
  packBestFitDecreasing,
  type TrainingEvent,
  train,
  trainingOptions,
} from '@largeforge/engine';
import { describe, expect, it } from 'vitest';

/** Made by test/fixtures/make_trl_sft.py with TRL, f32 on its side too. */
const fixture = fileURLToPath(new URL('../../../test/fixtures/trl_sft', import.meta.url));

interface Recorded {
  settings: {
    steps: number;
    batch: number;
    accumulation: number;
    packLength: number;
    learning_rate: number;
    weight_decay: number;
    warmup_steps: number;
    max_grad_norm: number;
  };
  rows: { tokens: number[]; mask: number[] }[];
  runs: Record<string, { losses: number[]; gradNorms: number[]; learningRates: number[]; packs: number[][] }>;
}

const recorded = JSON.parse(readFileSync(join(fixture, 'losses.json'), 'utf8')) as Recorded;
const source = memoryRows(
  recorded.rows.map(({ tokens, mask }) => ({ tokens: Int32Array.from(tokens), mask: Uint8Array.from(mask) })),
  (row) => row.tokens.length,
  'trl',
);

type Step = Extract<TrainingEvent, { type: 'step' }>;

/** The same run on our engine. `perturb` makes it another one: the comparison must notice. */
async function run(tuning: string, packed: boolean, perturb: Partial<{ rate: number }> = {}): Promise<Step[]> {
  const { settings } = recorded;
  const device = openDevice({ library: locateLibrary(), threads: 1 });
  try {
    const model = asCausal(await loadModel(device, join(fixture, 'model'), { dtype: 'f32' }));
    if (tuning === 'full') model.setTrainable(true);
    else loadAdapter(model, join(fixture, 'adapter'), { trainable: true });
    const steps: Step[] = [];
    await train({
      model,
      objective: nextTokenObjective(model),
      rows: source,
      options: trainingOptions.parse({
        maxSteps: settings.steps,
        batchSize: settings.batch,
        accumulation: settings.accumulation,
        order: 'sequential',
        packing: packed ? settings.packLength : undefined,
        optimizer: {
          learningRate: perturb.rate ?? settings.learning_rate,
          weightDecay: settings.weight_decay,
          maxGradNorm: settings.max_grad_norm,
        },
        schedule: { type: 'cosine', warmupSteps: settings.warmup_steps },
      }),
      onEvent: (event) => void (event.type === 'step' && steps.push(event)),
    });
    return steps;
  } finally {
    device[Symbol.dispose]();
  }
}

const largest = (ours: readonly number[], theirs: readonly number[]) =>
  Math.max(...ours.map((value, i) => Math.abs(value - (theirs[i] as number))));

describe("the first 50 steps against TRL's SFTTrainer, f32", () => {
  it.each([
    ['full', false],
    ['full', true],
    ['lora', false],
    ['lora', true],
  ])('%s, packed: %s', async (tuning, packed) => {
    const steps = await run(tuning, packed);
    const theirs = recorded.runs[`${tuning}${packed ? '-packed' : ''}`];
    if (!theirs) throw new Error('the fixture lacks a run');
    expect(steps.length).toBe(50);
    expect(
      largest(
        steps.map((step) => step.loss),
        theirs.losses,
      ),
    ).toBeLessThan(1e-3);
    expect(
      largest(
        steps.map((step) => step.gradNorm),
        theirs.gradNorms,
      ),
    ).toBeLessThan(1e-2);
    expect(
      largest(
        steps.map((step) => step.learningRate),
        theirs.learningRates,
      ),
    ).toBeLessThan(1e-9);
  });

  it('lays rows into the same packs', () => {
    const { settings, runs } = recorded;
    const bins = packBestFitDecreasing(source.lengths, settings.packLength);
    const packs = Array.from({ length: bins.starts.length - 1 }, (_, bin) =>
      Array.from(bins.rows.slice(bins.starts[bin], bins.starts[bin + 1]), (row) => source.lengths[row]),
    );
    expect(packs).toEqual(runs['full-packed']?.packs);
  });

  it('notices a learning rate that is one per cent off', async () => {
    const steps = await run('full', false, { rate: recorded.settings.learning_rate * 1.01 });
    const theirs = recorded.runs.full as { losses: number[] };
    expect(
      largest(
        steps.map((step) => step.loss),
        theirs.losses,
      ),
    ).toBeGreaterThan(1e-3);
  });
});
