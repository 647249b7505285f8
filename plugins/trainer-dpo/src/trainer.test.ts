import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import type { RunEvent } from '@largeforge/core';
import {
  lossesOf as losses,
  runTraining,
  stepsOf as steps,
  type TrainingFlags,
  type TrainingOutcome,
} from '@largeforge/trainer/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import trainerDpo from './index.js';

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
let folder: string;
const file = (name: string) => join(folder, name);
const jsonLines = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-dpo-'));
  const pairs = Array.from({ length: 24 }, (_, i) => {
    const letter = 'abcdefgh'[i % 8] as string;
    return { prompt: `say ${letter}: `, chosen: letter.repeat(1 + (i % 4)), rejected: `no ${'xyz'[i % 3]}` };
  });
  writeFileSync(file('pairs.jsonl'), jsonLines(pairs));
  const labelled = pairs.flatMap(({ prompt, chosen, rejected }, i) =>
    i % 2 === 0 ? [{ prompt, completion: chosen, label: true }] : [{ prompt, completion: rejected, label: false }],
  );
  writeFileSync(file('labelled.jsonl'), jsonLines(labelled));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs a training step by its config. */
const run = (trainer: string, options: Record<string, unknown>, flags?: TrainingFlags) =>
  runTraining(
    { folder, plugins: [backendCpu, trainerDpo], use: trainer },
    { model: base, dataset: file('pairs.jsonl'), batchSize: 4, learningRate: 2e-3, seed: 3, ...options },
    flags,
  );

const shown = (events: readonly RunEvent[]) =>
  events.filter((event) => event.type === 'progress' && event.unit === 'pairs shown to the reference').length;

describe('a preference training', () => {
  it.each([
    ['dpo', {}],
    ['orpo', {}],
    ['cpo', {}],
    ['simpo', {}],
    ['kto', { dataset: 'labelled.jsonl' }],
  ])('learns to prefer: %s', async (trainer, options) => {
    const dataset = file((options as { dataset?: string }).dataset ?? 'pairs.jsonl');
    const { outputs, events } = await run(trainer, { ...options, dataset, maxSteps: 16, evalSplit: 4, evalSteps: 8 });
    const margins = steps(events).map(({ metrics }) => metrics?.['rewards/margins'] ?? Number.NaN);
    const finite = margins.filter(Number.isFinite);
    expect(finite.at(-1)).toBeGreaterThan((finite[0] as number) + 0.1);
    expect(losses(events).at(-1)).toBeLessThan(losses(events)[0] as number);
    expect(events.filter((event) => event.type === 'train.evaluated').map(({ step }) => step)).toEqual([8, 16]);
    expect(outputs).toMatchObject({ steps: 16, evalLoss: expect.any(Number) });
    expect(readdirSync(outputs.adapter as string)).toContain('adapter_model.safetensors');
  });

  it('of KTO takes pairs too, and every weight with a copy for a reference', async () => {
    const { events } = await run('kto', { maxSteps: 2, full: true, learningRate: 1e-4 });
    expect(losses(events)[0]).toBeCloseTo(0.5, 3);
    const memory = events.flatMap((event) => (event.type === 'memory.estimate' ? event.lines : []));
    expect(memory[0]).toMatch(/models that are not trained [1-9]/);
  });

  it('begins at ln 2, whatever the reference, and asks a full one beforehand', async () => {
    const adapter = await run('dpo', { maxSteps: 1 });
    const full = await run('dpo', { maxSteps: 1, full: true, outputDir: file('full') });
    const named = await run('dpo', { maxSteps: 1, reference: base, outputDir: file('named') });
    for (const { events } of [adapter, full, named]) expect(losses(events)[0]).toBeCloseTo(Math.LN2, 2);
    expect([adapter, full, named].map(({ events }) => shown(events) > 0)).toEqual([false, true, false]);
  });

  it('is the same with a reference that was asked beforehand, and asks only once', async () => {
    const wanted = { maxSteps: 4, precision: 'f32', evalDataset: file('pairs.jsonl') };
    const online = await run('dpo', wanted);
    const first = await run('dpo', { ...wanted, precomputeReference: true, outputDir: file('first') });
    const second = await run('dpo', { ...wanted, precomputeReference: true, outputDir: file('second') });
    for (const { events } of [first, second]) {
      for (const [i, loss] of losses(events).entries()) expect(loss).toBeCloseTo(losses(online.events)[i] as number, 5);
    }
    expect(shown(first.events)).toBeGreaterThan(0);
    expect(shown(second.events)).toBe(0);
  });

  it('is the same in packs as row by row', async () => {
    const wanted = { maxSteps: 2, precision: 'f32', order: 'sequential' };
    const single = await run('dpo', { ...wanted, batchSize: 24 });
    const packed = await run('dpo', {
      ...wanted,
      batchSize: 24,
      packing: true,
      maxLength: 32,
      outputDir: file('packed'),
    });
    for (const [i, loss] of losses(packed.events).entries()) {
      expect(loss).toBeCloseTo(losses(single.events)[i] as number, 4);
    }
  });

  it.each(['dpo', 'kto'])('interrupted and resumed is the uninterrupted run bit for bit: %s', async (trainer) => {
    const wanted = { maxSteps: 6, lora: { r: 4, dropout: 0.1 } };
    const whole = await run(trainer, { ...wanted, outputDir: file('whole') });
    const interrupted = { ...wanted, outputDir: file('parts') };
    const onEvent = (event: RunEvent, stop: AbortController) => {
      if (event.type === 'train.step' && event.step === 3) stop.abort(new Error('interrupted'));
    };
    await expect(run(trainer, interrupted, { onEvent })).rejects.toThrow();
    const resumed = await run(trainer, interrupted, { resume: true });
    expect(steps(resumed.events)[0]?.step).toBe(4);
    const digest = ({ adapter }: TrainingOutcome['outputs']) =>
      createHash('sha256')
        .update(readFileSync(join(adapter as string, 'adapter_model.safetensors')))
        .digest('hex');
    expect(digest(resumed.outputs)).toBe(digest(whole.outputs));
  });

  it('is not resumed by another method', async () => {
    const stop = (event: RunEvent, controller: AbortController) => {
      if (event.type === 'train.step' && event.step === 2) controller.abort(new Error('interrupted'));
    };
    const wanted = { maxSteps: 4, outputDir: file('out') };
    await expect(run('dpo', wanted, { onEvent: stop })).rejects.toThrow();
    const other = run('dpo', { ...wanted, beta: 0.5 }, { resume: true });
    await expect(other).rejects.toMatchObject({ message: expect.stringMatching(/beta/) });
  });

  it.each([
    ['dpo', { loss: 'sigmoyd' }, /sigmoid/],
    ['dpo', { loss: ['sigmoid', 'sft'], lossWeights: [1] }, /one for each of the 2 losses/],
    ['dpo', { loss: 'exo_pair' }, /more than 0 with exo_pair/],
    ['dpo', { dataset: { paths: ['pairs.jsonl'], overlong: 'split' } }, /error, truncate or drop/],
    ['kto', { batchSize: 1 }, /at least 2 with kto/],
    ['dpo', { reference: './nowhere' }, /nowhere/],
    ['dpo', { dataset: 'labelled.jsonl' }, /single answers with a label/],
  ])('says what is wrong with its options: %s %o', async (trainer, options, message) => {
    const failed = run(trainer, { maxSteps: 1, ...options });
    await expect(failed).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });
});
