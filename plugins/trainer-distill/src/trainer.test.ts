import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application, type RunEvent } from '@largeforge/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import trainerDistill from './index.js';
import { spread } from './trainer.js';

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
const modules = {
  '@largeforge/backend-cpu': async () => backendCpu,
  '@largeforge/trainer-distill': async () => trainerDistill,
};

let folder: string;
const file = (...names: string[]) => join(folder, ...names);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-distill-'));
  const rows = Array.from({ length: 16 }, (_, i) => ({
    messages: [
      { role: 'user', content: `say ${'abcdefgh'[i % 8]}` },
      { role: 'assistant', content: `${'abcdefgh'[(i + 1) % 8]}`.repeat(1 + (i % 5)) },
    ],
  }));
  writeFileSync(file('rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function run(
  options: Record<string, unknown>,
  { onEvent, ...flags }: { onEvent?: (event: RunEvent, stop: AbortController) => void; resume?: boolean } = {},
) {
  const shared = { model: base, teacher: base, dataset: file('rows.jsonl'), batchSize: 4, seed: 3 };
  const step = { name: 'tune', stage: 'train', use: 'distill', with: { ...shared, ...options } };
  const config = { plugins: Object.keys(modules), backend: { name: 'cpu', threads: 2 }, pipeline: [step] };
  writeFileSync(file('largeforge.config.json'), JSON.stringify(config));
  const stop = new AbortController();
  const events: RunEvent[] = [];
  const { signal } = stop;
  const application = await Application.boot({ cwd: folder, modules, env: {}, logLevel: 'silent', signal });
  try {
    application.events.on((event) => {
      events.push(event);
      onEvent?.(event, stop);
    });
    const { outputs } = await application.runPipeline(flags);
    return { outputs: outputs.get('tune') ?? {}, events };
  } finally {
    await application.close();
  }
}

const steps = (events: readonly RunEvent[]) => events.flatMap((event) => (event.type === 'train.step' ? [event] : []));
const divergences = (events: readonly RunEvent[]) => steps(events).map(({ metrics }) => metrics?.divergence as number);
const shown = (events: readonly RunEvent[]) =>
  events.some((event) => event.type === 'progress' && event.unit === 'rows shown to the teacher');

describe('a distillation', () => {
  it('begins where the student is the teacher: nothing to learn from it', async () => {
    const { events } = await run({ maxSteps: 1, precision: 'f32' });
    expect(divergences(events)[0]).toBeLessThan(1e-6);
  });

  it('brings a student of half the layers nearer to its teacher, and saves it as a model of its own', async () => {
    const layers = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8')).num_hidden_layers as number;
    const wanted = {
      full: true,
      keepLayers: layers / 2,
      alpha: 1,
      maxSteps: 20,
      learningRate: 1e-3,
      evalSplit: 4,
      evalOnStart: true,
    };
    const { outputs, events } = await run(wanted);
    const seen = divergences(events);
    expect(seen.at(-1)).toBeLessThan(0.6 * (seen[0] as number));
    const evaluated = events.flatMap((event) => (event.type === 'train.evaluated' ? [event.metrics] : []));
    expect(evaluated.at(-1)?.divergence).toBeLessThan(evaluated[0]?.divergence as number);
    const config = JSON.parse(readFileSync(join(outputs.model as string, 'config.json'), 'utf8'));
    expect(config.num_hidden_layers).toBe(layers / 2);
    // The student that was saved is where it was left.
    const again = await run({ model: outputs.model, alpha: 1, maxSteps: 1, outputDir: file('again') });
    expect(divergences(again.events)[0]).toBeLessThan(0.8 * (seen[0] as number));
  });

  it('hardly differs with the likeliest tokens of the teacher alone, which is asked once', async () => {
    const wanted = { full: true, keepLayers: 1, maxSteps: 3, precision: 'f32', alpha: 1, temperature: 1 };
    const whole = await run(wanted);
    const first = await run({ ...wanted, topK: 512, outputDir: file('first') });
    const second = await run({ ...wanted, topK: 512, outputDir: file('second') });
    for (const [i, divergence] of divergences(first.events).entries()) {
      expect(Math.abs(divergence - (divergences(whole.events)[i] as number))).toBeLessThan(0.02);
    }
    expect(divergences(second.events)).toEqual(divergences(first.events));
    expect([first, second].map(({ events }) => shown(events))).toEqual([true, false]);
  });

  it('interrupted and resumed is the uninterrupted run bit for bit', async () => {
    const wanted = { maxSteps: 6, lora: { r: 4, dropout: 0.1 }, divergence: 'generalized_js', full: false };
    const student = await run({ full: true, keepLayers: 2, maxSteps: 1, outputDir: file('student') });
    const model = student.outputs.model;
    const whole = await run({ ...wanted, model, outputDir: file('whole') });
    const onEvent = (event: RunEvent, stop: AbortController) => {
      if (event.type === 'train.step' && event.step === 3) stop.abort(new Error('interrupted'));
    };
    const interrupted = { ...wanted, model, outputDir: file('parts') };
    await expect(run(interrupted, { onEvent })).rejects.toThrow();
    const resumed = await run(interrupted, { resume: true });
    expect(steps(resumed.events)[0]?.step).toBe(4);
    const digest = (outputs: Readonly<Record<string, unknown>>) =>
      createHash('sha256')
        .update(readFileSync(join(outputs.adapter as string, 'adapter_model.safetensors')))
        .digest('hex');
    expect(digest(resumed.outputs)).toBe(digest(whole.outputs));
  });

  it('refuses a teacher of another vocabulary, naming a token', async () => {
    cpSync(base, file('other'), { recursive: true });
    const path = file('other', 'tokenizer.json');
    const tokenizer = JSON.parse(readFileSync(path, 'utf8'));
    const [first, second] = Object.keys(tokenizer.model.vocab);
    const { vocab } = tokenizer.model;
    [vocab[first as string], vocab[second as string]] = [vocab[second as string], vocab[first as string]];
    writeFileSync(path, JSON.stringify(tokenizer));
    await expect(run({ teacher: file('other'), maxSteps: 1 })).rejects.toMatchObject({
      code: 'LF_DISTILL_VOCABULARY',
      message: expect.stringContaining(JSON.stringify(first)),
    });
  });

  it.each([
    [{ keepLayers: 2 }, /full: true only/],
    [{ full: true, keepLayers: [0, 99] }, /cannot give the layers 0, 99/],
    [{ topK: 8, divergence: 'reverse_kl' }, /not with reverse_kl/],
    [{ divergence: 'kl' }, /forward_kl/],
    [{ teacher: './nowhere' }, /nowhere/],
  ])('says what is wrong with its options: %o', async (options, message) => {
    await expect(run({ maxSteps: 1, ...options })).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });
});

describe('layers that are kept', () => {
  it.each([
    [6, 3, [0, 3, 5]],
    [30, 15, [0, 2, 4, 6, 8, 10, 12, 15, 17, 19, 21, 23, 25, 27, 29]],
    [4, 1, [0]],
    [4, 4, [0, 1, 2, 3]],
  ])('are spread evenly: %i to %i', (layers, kept, expected) => {
    expect(spread(layers, kept)).toEqual(expected);
  });
});
