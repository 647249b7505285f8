import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  type CausalLanguageModel,
  type Device,
  type FloatDType,
  keepFrozenWeights,
  loadAdapter,
  loadModel,
  mergeAdapter,
  nextTokenObjective,
  openDevice,
  type TrainingEvent,
  train,
  trainingOptions,
} from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { largestDifference, rowsOf, type TrlRecord } from './trl.fixture.js';

const fixtures = fileURLToPath(new URL('../../../test/fixtures', import.meta.url));
const rows = JSON.parse(readFileSync(join(fixtures, 'trl_sft/losses.json'), 'utf8')) as TrlRecord;
/** Made by test/fixtures/make_peft.py. */
const record = JSON.parse(readFileSync(join(fixtures, 'peft/record.json'), 'utf8')) as {
  settings: { steps: number; batch: number; learningRate: number };
  runs: Record<string, { losses: number[]; gradNorms: number[] }>;
  /** Every 17th element of each layer's weight, merged by PEFT. */
  doraMerged: Record<string, number[]>;
};

let device: Device;
beforeAll(() => {
  device = openDevice({ library: locateLibrary(), threads: 1 });
});
afterAll(() => device[Symbol.dispose]());

const open = async (dtype: FloatDType = 'f32', path = 'trl_sft/model') =>
  asCausal(await loadModel(device, join(fixtures, path), { dtype }));

async function run(model: CausalLanguageModel, options: object = {}) {
  const { steps, batch, learningRate } = record.settings;
  const events: Extract<TrainingEvent, { type: 'step' }>[] = [];
  const skipped: number[] = [];
  await train({
    model,
    objective: nextTokenObjective(model),
    rows: rowsOf(rows),
    options: trainingOptions.parse({
      maxSteps: steps,
      batchSize: batch,
      order: 'sequential',
      optimizer: { learningRate },
      schedule: { type: 'constant', warmupSteps: 0 },
      ...options,
    }),
    onEvent: (event) => {
      if (event.type === 'step') events.push(event);
      if (event.type === 'skipped') skipped.push(event.step);
    },
  });
  model.dispose();
  return { losses: events.map(({ loss }) => loss), gradNorms: events.map(({ gradNorm }) => gradNorm), skipped, events };
}

describe('twelve steps as PEFT takes them, f32', () => {
  it.each(['dora', 'rslora'])('%s', async (name) => {
    const model = await open();
    loadAdapter(model, join(fixtures, 'peft', name), { trainable: true });
    const ours = await run(model);
    expect(largestDifference(ours.losses, record.runs[name]!.losses)).toBeLessThan(1e-3);
    expect(largestDifference(ours.gradNorms, record.runs[name]!.gradNorms)).toBeLessThan(1e-3);
  });

  it("DoRA's merged weights are PEFT's", async () => {
    using model = await open();
    loadAdapter(model, join(fixtures, 'peft/dora'));
    mergeAdapter(model);
    expect([...model.linears.keys()].sort()).toEqual(Object.keys(record.doraMerged).sort());
    for (const [name, layer] of model.linears) {
      using weight = layer.weight.toFloat32();
      const ours = [...(await weight.floats())].filter((_, i) => i % 17 === 0);
      expect(largestDifference(ours, record.doraMerged[name]!), name).toBeLessThan(1e-6);
    }
  });

  it("QLoRA on bitsandbytes' NF4 with double quantisation", async () => {
    const model = await open('f32', 'peft/wide');
    const bytes = await keepFrozenWeights(model, 'nf4');
    const elements = [...model.linears.values()].reduce((sum, { weight }) => sum + weight.elements, 0);
    // The tables of 16 and 256 numbers, which every layer has, are most of what exceeds 4.13 bits in layers this small.
    expect(bytes - model.linears.size * 4 * (16 + 256 + 1)).toBeLessThan(
      (elements * 4.13) / 8 + model.linears.size * 4,
    );
    loadAdapter(model, join(fixtures, 'peft/nf4'), { trainable: true });
    const ours = await run(model);
    expect(largestDifference(ours.losses, record.runs.nf4!.losses)).toBeLessThan(1e-3);
    expect(largestDifference(ours.gradNorms, record.runs.nf4!.gradNorms)).toBeLessThan(1e-3);
    // The quantised base is another model.
    const other = await open('f32', 'peft/wide');
    loadAdapter(other, join(fixtures, 'peft/nf4'), { trainable: true });
    expect(largestDifference((await run(other)).losses, record.runs.nf4!.losses)).toBeGreaterThan(1e-3);
  });
});

describe('frozen layers as they are stored', () => {
  it('a 4-bit checkpoint of bitsandbytes trains like the model that was quantised in memory', async () => {
    const model = await open('f32', 'peft/nf4-base');
    expect(await keepFrozenWeights(model, 'as-stored')).toBeGreaterThan(0);
    loadAdapter(model, join(fixtures, 'peft/nf4'), { trainable: true });
    const ours = await run(model);
    expect(largestDifference(ours.losses, record.runs.nf4!.losses)).toBeLessThan(1e-4);
    // Decoded beforehand it computes the same.
    const plain = await open('f32', 'peft/nf4-base');
    loadAdapter(plain, join(fixtures, 'peft/nf4'), { trainable: true });
    expect(largestDifference((await run(plain)).losses, ours.losses)).toBeLessThan(1e-4);
  });
});

describe('f16 with dynamic loss scaling', () => {
  const full = async () => {
    const model = await open('f16');
    model.setTrainable(true);
    return model;
  };

  it("goes as PyTorch's autocast with a GradScaler", async () => {
    const ours = await run(await full(), { lossScale: { initial: 1024 } });
    expect(ours.skipped).toEqual([]);
    expect(largestDifference(ours.losses, record.runs.f16!.losses)).toBeLessThan(2e-2);
    expect(ours.events[0]?.metrics.loss_scale).toBe(1024);
  });

  it('leaves out steps that overflow until the scale fits', async () => {
    const ours = await run(await full(), { lossScale: { initial: 2 ** 26 } });
    expect(ours.skipped.length).toBeGreaterThan(2);
    expect(ours.skipped.slice(0, 3)).toEqual([1, 2, 3]);
    const scales = ours.events.map(({ metrics }) => metrics.loss_scale as number);
    expect(scales.at(-1)).toBe(2 ** (26 - ours.skipped.length));
    expect(ours.gradNorms.at(-1)).toBeGreaterThan(0);
  });
});
