import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import type { RunEvent } from '@largeforge/core';
import { readSafetensors } from '@largeforge/engine';
import { lossesOf as losses, runTraining, type TrainingFlags, type TrainingOutcome } from '@largeforge/trainer/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import trainerSft from './index.js';

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-sft-'));
  const rows = Array.from({ length: 24 }, (_, i) => ({
    messages: [
      { role: 'user', content: `say ${'abcdefgh'[i % 8]}` },
      { role: 'assistant', content: `${'abcdefgh'[(i + 1) % 8]}`.repeat(1 + (i % 5)) },
    ],
  }));
  writeFileSync(join(folder, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs a training step by its config. */
const run = (options: Record<string, unknown>, flags?: TrainingFlags) =>
  runTraining(
    { folder, plugins: [backendCpu, trainerSft], use: 'sft' },
    { model: base, dataset: join(folder, 'rows.jsonl'), batchSize: 4, learningRate: 1e-3, ...options },
    flags,
  );

const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const adapterOf = (outputs: TrainingOutcome['outputs']) =>
  digest(join(outputs.adapter as string, 'adapter_model.safetensors'));

/** Places of the zeros of a weight in bf16. */
function zerosOf(model: string, name: string): number[] {
  const file = join(model, 'model.safetensors');
  const { offset, bytes } = readSafetensors(file).tensors.get(name)!;
  const values = new Uint16Array(Uint8Array.from(readFileSync(file).subarray(offset, offset + bytes)).buffer);
  return [...values].flatMap((bits, i) => ((bits & 0x7fff) === 0 ? [i] : []));
}

describe('a fine-tuning step', () => {
  it('trains beside layers in NF4, in f16 and with moments of 8 bits, and saves the average', async () => {
    const { outputs, events } = await run({
      outputDir: './out',
      frozenWeights: 'nf4',
      precision: 'f16',
      optimizer: 'adamw_8bit',
      gradientCheckpointing: 'auto',
      averageDecay: 0.5,
      lora: { r: 8, dora: true },
      loraPlusRatio: 4,
      maxSteps: 12,
      evalSplit: 0.2,
      evalOnStart: true,
      deterministic: true,
    });
    const plan = events.flatMap((event) =>
      event.type === 'plan' || event.type === 'memory.estimate' ? event.lines : [],
    );
    expect(plan.join('\n')).toMatch(/AdamW in 8 bits, saved as a moving average, f16, frozen layers in NF4/);
    expect(plan.join('\n')).toMatch(/no blocks are computed again/);
    const evaluated = events.filter((event) => event.type === 'train.evaluated');
    expect(outputs.evalLoss).toBeLessThan(evaluated[0]!.metrics.loss!);
    expect(readdirSync(join(folder, 'out'))).toContain('adapter_model.safetensors');
  });

  it('tells what the data is, what will run and what memory it takes, before it trains; then the loss falls', async () => {
    const { outputs, events } = await run({
      maxSteps: 12,
      learningRate: 5e-3,
      evalSplit: 4,
      evalSteps: 6,
      evalOnStart: true,
    });
    const order = events.map((event) => event.type);
    const first = order.indexOf('train.step');
    for (const type of ['data.report', 'plan', 'memory.estimate'] as const) {
      expect(order.indexOf(type)).toBeGreaterThanOrEqual(0);
      expect(order.indexOf(type)).toBeLessThan(first);
    }
    const seen = losses(events);
    expect(seen.length).toBe(12);
    expect(seen.at(-1)).toBeLessThan(0.7 * (seen[0] as number));
    expect(events.filter((event) => event.type === 'train.evaluated').map((event) => event.step)).toEqual([0, 6, 12]);
    expect(outputs).toMatchObject({ steps: 12, evalLoss: expect.any(Number) });
    expect(readdirSync(outputs.adapter as string)).toContain('adapter_config.json');
  });

  it('trains nothing on a dry run', async () => {
    const { outputs, events } = await run({ maxSteps: 4, dryRun: true });
    expect(outputs).toEqual({ steps: 0 });
    expect(events.some((event) => event.type === 'plan')).toBe(true);
    expect(losses(events)).toEqual([]);
  });

  it('saves every weight when it is trained in full, and goes on from that model', async () => {
    const { outputs } = await run({ full: true, maxSteps: 2 });
    expect(readdirSync(outputs.model as string)).toEqual(
      expect.arrayContaining(['config.json', 'model.safetensors', 'tokenizer.json']),
    );
    const again = await run({ model: outputs.model, full: true, maxSteps: 1, outputDir: join(folder, 'second') });
    expect(again.outputs.model).toBe(join(folder, 'second'));
  });

  it('goes on training a saved adapter', async () => {
    const first = await run({ maxSteps: 3, outputDir: join(folder, 'first') });
    const second = await run({ maxSteps: 3, adapter: first.outputs.adapter, outputDir: join(folder, 'second') });
    expect(losses(second.events)[0]).toBeLessThan(losses(first.events)[0] as number);
    expect(adapterOf(second.outputs)).not.toBe(adapterOf(first.outputs));
  });

  it.each([
    ['LoRA with dropout', { lora: { r: 4, dropout: 0.1 } }],
    [
      'packed rows with noise on the embeddings',
      { packing: true, maxLength: 64, neftuneAlpha: 5, gradientAccumulation: 2, batchSize: 1 },
    ],
    [
      'every weight, f32, checkpointing',
      { full: true, precision: 'f32', gradientCheckpointing: true, evalSplit: 0.2, evalSteps: 2 },
    ],
  ])('is, interrupted and resumed, the uninterrupted run bit for bit: %s', async (_, options) => {
    const wanted = { ...options, maxSteps: 7 };
    const file = 'full' in options ? 'model.safetensors' : 'adapter_model.safetensors';
    const whole = await run({ ...wanted, outputDir: join(folder, 'whole') });
    const interrupted = { ...wanted, outputDir: join(folder, 'parts') };
    const stopAt = (step: number) => (event: RunEvent, stop: AbortController) => {
      if (event.type === 'train.step' && event.step === step) stop.abort(new Error('interrupted'));
    };
    await expect(run(interrupted, { onEvent: stopAt(3) })).rejects.toThrow();
    await expect(run(interrupted, { onEvent: stopAt(5) })).rejects.toThrow();
    const resumed = await run(interrupted);
    expect(digest(join(folder, 'parts', file))).toBe(digest(join(folder, 'whole', file)));
    expect(losses(resumed.events)).toEqual(losses(whole.events).slice(5));
  });

  it('does not throw away the checkpoints of an unfinished run', async () => {
    const outputDir = join(folder, 'out');
    const onEvent = (event: RunEvent, stop: AbortController) => {
      if (event.type === 'train.step' && event.step === 2) stop.abort(new Error('interrupted'));
    };
    await expect(run({ maxSteps: 5, outputDir }, { onEvent })).rejects.toThrow();
    await expect(run({ maxSteps: 6, outputDir })).rejects.toThrow(
      expect.objectContaining({ code: 'LF_ENGINE_TRAIN_UNFINISHED', remedy: expect.stringMatching(/force|resume/i) }),
    );
    expect((await run({ maxSteps: 6, outputDir }, { force: true })).outputs.steps).toBe(6);
  });

  it('refuses options that contradict each other, naming the place in the config', async () => {
    await expect(run({ keepBest: true })).rejects.toThrow(
      /largeforge\.config\.json:1:\d+: pipeline\[0\].*keepBest.*held-out/s,
    );
    await expect(run({ full: true, adapter: 'x' })).rejects.toThrow(/pipeline\[0\].*\.with\.full/);
    await expect(run({ dataset: { paths: 'x', formt: 'auto' } })).rejects.toThrow(/dataset\.formt.*format/s);
  });

  it('prunes weights little by little, keeps them 0, and resumes to the same bytes', async () => {
    const options = { full: true, maxSteps: 8, pruning: { sparsity: 0.6, every: 2, endRatio: 0.75 } };
    const whole = await run(options);
    const file = (outputs: TrainingOutcome['outputs']) => join(outputs.model as string, 'model.safetensors');
    const expected = digest(file(whole.outputs));
    const zeros = zerosOf(whole.outputs.model as string, 'model.layers.0.mlp.up_proj.weight').length;
    expect(zeros / (448 * 160)).toBeCloseTo(0.6, 2);
    const cut = run(
      { ...options, saveSteps: 1 },
      { force: true, onEvent: (event, stop) => event.type === 'train.step' && event.step === 5 && stop.abort() },
    );
    await expect(cut).rejects.toThrow();
    const resumed = await run({ ...options, saveSteps: 1 }, { resume: true });
    expect(digest(file(resumed.outputs))).toBe(expected);
  }, 300_000);

  it('keeps the zeros of a pruned model when it is trained on', async () => {
    const pruned = await run({ full: true, maxSteps: 2, pruning: { sparsity: 0.5, endRatio: 0, every: 1 } });
    const source = mkdtempSync(join(tmpdir(), 'largeforge-pruned-'));
    cpSync(pruned.outputs.model as string, source, { recursive: true });
    const recovered = await run(
      { model: source, full: true, maxSteps: 3, pruning: { keepZeros: true } },
      { force: true },
    );
    const layer = 'model.layers.1.self_attn.q_proj.weight';
    expect(zerosOf(recovered.outputs.model as string, layer)).toEqual(zerosOf(source, layer));
  }, 300_000);
});
