import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunEvent } from '@largeforge/core';
import { readSafetensors } from '@largeforge/engine';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { base, beginFolder, divergences, endFolder, file, run, steps } from './distill.fixture.js';
import { spread } from './trainer.js';

beforeEach(beginFolder);
afterEach(endFolder);

const shown = (events: readonly RunEvent[]) =>
  events.some((event) => event.type === 'progress' && event.unit === 'rows shown to the teacher');

const digest = (folder: unknown, name = 'model') =>
  createHash('sha256')
    .update(readFileSync(join(folder as string, `${name}.safetensors`)))
    .digest('hex');

/** The base model with two of its tokens exchanged, in its tokenizer and in its weights; gives their texts. */
function renumbered(folder: string): [string, string] {
  cpSync(base, folder, { recursive: true });
  const path = join(folder, 'tokenizer.json');
  const tokenizer = JSON.parse(readFileSync(path, 'utf8'));
  const { vocab } = tokenizer.model;
  const [first, second] = [41, 300].map((id) => Object.keys(vocab).find((token) => vocab[token] === id) as string);
  [vocab[first as string], vocab[second as string]] = [vocab[second as string], vocab[first as string]];
  writeFileSync(path, JSON.stringify(tokenizer));
  const weights = join(folder, 'model.safetensors');
  const bytes = readFileSync(weights);
  for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) {
    const entry = readSafetensors(weights).tensors.get(name);
    if (!entry) continue;
    const row = entry.bytes / (entry.shape[0] as number);
    const [a, b] = [entry.offset + 300 * row, entry.offset + 41 * row];
    const kept = Buffer.from(bytes.subarray(a, a + row));
    bytes.copy(bytes, a, b, b + row);
    kept.copy(bytes, b);
  }
  writeFileSync(weights, bytes);
  return [first as string, second as string];
}

/** The base model with other texts for tokens that no row has: to its student, a teacher that lacks them. Gives how many. */
function lacking(folder: string): number {
  cpSync(base, folder, { recursive: true });
  const path = join(folder, 'tokenizer.json');
  const tokenizer = JSON.parse(readFileSync(path, 'utf8'));
  const { model } = tokenizer;
  const words = Object.keys(model.vocab).filter((text) => /^\u0120[a-zA-Z]{3,}$/.test(text));
  for (const [i, text] of words.entries()) {
    model.vocab[`another ${i}`] = model.vocab[text];
    delete model.vocab[text];
  }
  const known = (parts: string[]) => [...parts, parts.join('')].every((part) => part in model.vocab);
  model.merges = model.merges.filter((merge: string | string[]) => known([merge].flat().join(' ').split(' ')));
  writeFileSync(path, JSON.stringify(tokenizer));
  return words.length;
}

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
    expect(digest(resumed.outputs.adapter, 'adapter_model')).toBe(digest(whole.outputs.adapter, 'adapter_model'));
  });

  it('of hidden states brings those nearer too, and resumed is the uninterrupted run bit for bit', async () => {
    const features = {
      layers: [
        [1, 3],
        [2, 6],
      ],
      weight: 0.5,
    };
    const wanted = {
      full: true,
      keepLayers: 2,
      features,
      maxSteps: 8,
      learningRate: 1e-3,
      precision: 'f32',
      saveSteps: 1,
    };
    const whole = await run({ ...wanted, outputDir: file('whole') });
    const errors = steps(whole.events).map(({ metrics }) => metrics?.features as number);
    expect(errors.at(-1)).toBeLessThan(0.95 * (errors[0] as number));
    const onEvent = (event: RunEvent, stop: AbortController) => {
      if (event.type === 'train.step' && event.step === 4) stop.abort(new Error('interrupted'));
    };
    await expect(run({ ...wanted, outputDir: file('parts') }, { onEvent })).rejects.toThrow();
    const resumed = await run({ ...wanted, outputDir: file('parts') }, { resume: true });
    expect(digest(resumed.outputs.model)).toBe(digest(whole.outputs.model));
  });

  it("of the student's own answers resumes bit for bit too", async () => {
    const onPolicy = { share: 0.6, maxTokens: 12, temperature: 1 };
    const wanted = { onPolicy, maxSteps: 6, lora: { r: 4 }, learningRate: 3e-3, divergence: 'reverse_kl', alpha: 1 };
    const student = await run({ full: true, keepLayers: 2, maxSteps: 1, outputDir: file('student') });
    const model = student.outputs.model;
    const whole = await run({ ...wanted, model, outputDir: file('whole') });
    expect(divergences(whole.events).every(Number.isFinite)).toBe(true);
    const onEvent = (event: RunEvent, stop: AbortController) => {
      if (event.type === 'train.step' && event.step === 3) stop.abort(new Error('interrupted'));
    };
    const interrupted = { ...wanted, model, outputDir: file('parts') };
    await expect(run(interrupted, { onEvent })).rejects.toThrow();
    const resumed = await run(interrupted, { resume: true });
    expect(digest(resumed.outputs.adapter, 'adapter_model')).toBe(digest(whole.outputs.adapter, 'adapter_model'));
  });

  it('in stages ends with the layers of the last one; a stage that ended is not repeated', async () => {
    const stages = [
      { keepLayers: 4, maxSteps: 2 },
      { keepLayers: 2, maxSteps: 3 },
    ];
    const wanted = { full: true, stages, outputDir: file('out') };
    const onEvent = (event: RunEvent, stop: AbortController) => {
      if (event.type === 'train.step' && event.totalSteps === 3) stop.abort(new Error('interrupted'));
    };
    await expect(run(wanted, { onEvent })).rejects.toThrow();
    const layersOf = (...path: string[]) =>
      JSON.parse(readFileSync(file(...path, 'config.json'), 'utf8')).num_hidden_layers;
    expect(layersOf('out', 'stage-1')).toBe(4);
    const { outputs, events } = await run(wanted, { resume: true });
    expect(steps(events).map(({ step, totalSteps }) => [step, totalSteps])).toEqual([
      [2, 3],
      [3, 3],
    ]);
    expect(outputs.model).toBe(file('out'));
    expect(layersOf('out')).toBe(2);
  });

  it('of a teacher that numbers its tokens otherwise is that of the same teacher, once they are aligned', async () => {
    renumbered(file('other'));
    const wanted = { full: true, keepLayers: 1, maxSteps: 2, precision: 'f32', alpha: 1 };
    const same = await run({ ...wanted, outputDir: file('same') });
    const aligned = { ...wanted, teacher: file('other'), vocabulary: 'align' };
    const other = await run({ ...aligned, outputDir: file('aligned') });
    for (const [i, divergence] of divergences(other.events).entries()) {
      expect(divergence).toBeCloseTo(divergences(same.events)[i] as number, 5);
    }
    const kept = { topK: 64, temperature: 1 };
    const first = await run({ ...wanted, ...kept, outputDir: file('same-k') });
    const second = await run({ ...aligned, ...kept, outputDir: file('aligned-k') });
    for (const [i, divergence] of divergences(second.events).entries()) {
      expect(divergence).toBeCloseTo(divergences(first.events)[i] as number, 4);
    }
  });

  it.each(['forward_kl', 'reverse_kl', 'generalized_js'])(
    'by %s compares student and teacher over the tokens that both have',
    async (divergence) => {
      const count = lacking(file('other'));
      expect(count).toBeGreaterThan(50);
      const wanted = {
        teacher: file('other'),
        vocabulary: 'align',
        divergence,
        alpha: 1,
        precision: 'f32',
        full: true,
      };
      // Of the same weights: over what both have there is no difference, whatever the student thinks of the rest.
      const equal = await run({ ...wanted, maxSteps: 1, outputDir: file('equal') });
      expect(divergences(equal.events)[0]).toBeLessThan(1e-6);
      const { text } = equal.events.find((event) => event.type === 'message' && /take no part/.test(event.text)) as {
        text: string;
      };
      expect(text).toContain(`the other ${count} take no part`);
      const learnt = await run({
        ...wanted,
        ...{ keepLayers: 3, maxSteps: 12, learningRate: 1e-3, evalSplit: 4, evalOnStart: true },
      });
      const seen = divergences(learnt.events);
      expect(seen.every(Number.isFinite)).toBe(true);
      expect(seen.at(-1)).toBeLessThan(0.8 * (seen[0] as number));
    },
  );

  it("refuses answers of the student's own where the teacher lacks some of its tokens", async () => {
    const count = lacking(file('other'));
    const wanted = { teacher: file('other'), vocabulary: 'align', onPolicy: {}, maxSteps: 1 };
    await expect(run(wanted)).rejects.toMatchObject({
      code: 'LF_DISTILL_VOCABULARY',
      message: expect.stringContaining(`any of ${count} tokens that the teacher cannot read`),
    });
  });

  it('refuses a teacher of another vocabulary, naming a token', async () => {
    const [first] = renumbered(file('other'));
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
    [{ teacher: 'http://localhost:1/v1' }, /how many log-probabilities/],
    [{ teacher: 'http://localhost:1/v1', topK: 4 }, /the name of the teacher/],
    [{ onPolicy: {}, topK: 4 }, /cannot be asked beforehand/],
    [{ onPolicy: {}, packing: true }, /answers change their lengths/],
    [{ features: {}, topK: 4 }, /keeps logits alone/],
    [{ features: { layers: [[1, 9]] } }, /the teacher has no layer 9, only 1 to 6/],
    [
      {
        stages: [
          { keepLayers: 2, maxSteps: 1 },
          { keepLayers: 1, maxSteps: 1 },
        ],
      },
      /full: true only|have their own/,
    ],
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
