import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import type { RunEvent } from '@largeforge/core';
import { readSafetensors } from '@largeforge/engine';
import { lossesOf as losses, runTraining, type TrainingFlags } from '@largeforge/trainer/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import trainerPretrain from './index.js';

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
let folder: string;
const file = (...names: string[]) => join(folder, ...names);

/** Documents of a language of its own: each letter is followed by the one `step` further. */
function documents(step: number, count: number, seed: number): string {
  const letter = (i: number) => String.fromCharCode(97 + (i % 26));
  return Array.from({ length: count }, (_, d) => {
    const length = 6 + ((d * 7) % 30);
    return Array.from({ length }, (_, i) => letter(d * 5 + seed + i * step)).join(' ');
  }).join('\n');
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-pretrain-'));
  writeFileSync(file('one.txt'), documents(1, 60, 0));
  writeFileSync(file('three.txt'), documents(3, 60, 1));
});
afterEach(() => rmSync(folder, { recursive: true }));

const run = (options: Record<string, unknown>, flags?: TrainingFlags) => {
  const domains = [{ name: 'one', dataset: file('one.txt') }];
  const shared = { model: base, domains, batchSize: 2, maxLength: 64, seed: 3 };
  return runTraining(
    { folder, plugins: [backendCpu, trainerPretrain], use: 'pretrain' },
    { ...shared, ...options },
    flags,
  );
};

const messages = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'message' ? [event.text] : []));
const two = () => [
  { name: 'one', dataset: file('one.txt') },
  { name: 'three', dataset: file('three.txt') },
];

describe('a continued pre-training', () => {
  it("lowers the domain's perplexity and reports every domain's", async () => {
    const only = two().map((domain, i) => ({ ...domain, weight: i === 0 ? 0.9 : 0.1 }));
    const wanted = { domains: only, full: true, learningRate: 2e-3, maxSteps: 25, evalSplit: 0.2, evalOnStart: true };
    const { outputs, events } = await run(wanted);
    const evaluated = events.flatMap((event) => (event.type === 'train.evaluated' ? [event.metrics] : []));
    for (const name of ['loss', 'loss/one', 'loss/three']) expect(evaluated[0]?.[name]).toBeGreaterThan(0);
    expect(evaluated.at(-1)?.['loss/one']).toBeLessThan(0.6 * (evaluated[0]?.['loss/one'] as number));
    const perplexity = outputs.perplexity as Record<string, number>;
    expect(Math.log(perplexity.one as number)).toBeCloseTo(evaluated.at(-1)?.['loss/one'] as number, 6);
    expect(messages(events).join('\n')).toMatch(/one: [\d.]+ at step 0, [\d.]+ at step 25 \(-[\d.]+ %\)/);
  });

  it('learns every token of a document, and goes on with long ones in the next piece', async () => {
    writeFileSync(file('long.txt'), documents(1, 1, 0).repeat(40));
    const { events } = await run({ domains: [{ name: 'long', dataset: file('long.txt') }], maxSteps: 1 });
    const report = events.find((event) => event.type === 'data.report')?.report as {
      maskedShare: number;
      length: { policy: string; overlong: number; rows: number };
    };
    // The very first token has nothing before it that could foretell it.
    expect(report.maskedShare).toBeLessThan(0.01);
    expect(report.length).toMatchObject({ policy: 'split', overlong: 1 });
    expect(report.length.rows).toBeGreaterThan(3);
    expect(losses(events).length).toBe(1);
  });

  it('begins with the documents that the model finds easy', async () => {
    writeFileSync(file('mixed.txt'), `${documents(1, 8, 0)}\n${'qz xv kj wq zx '.repeat(3)}\n${documents(1, 8, 3)}`);
    const wanted = {
      domains: [{ name: 'mixed', dataset: file('mixed.txt') }],
      packing: false,
      batchSize: 1,
      learningRate: 1e-9,
    };
    const { events } = await run({ ...wanted, curriculum: 'score', precision: 'f32' });
    const seen = losses(events);
    expect(seen.length).toBe(17);
    // The model hardly moves: what it meets is what it was scored by.
    for (const [i, loss] of seen.entries()) if (i > 0) expect(loss).toBeGreaterThan((seen[i - 1] as number) - 1e-3);
  });

  it('trains only the layers that it is told to', async () => {
    const { outputs } = await run({ full: true, precision: 'f32', trainLayers: { last: 2 }, maxSteps: 2 });
    const changed = new Set<number | string>();
    const [before, after] = [base, outputs.model as string].map((path) => join(path, 'model.safetensors'));
    const read = (path: string) => readSafetensors(path).tensors;
    const bytes = (path: string, { offset, bytes }: { offset: number; bytes: number }) =>
      readFileSync(path).subarray(offset, offset + bytes);
    const [was, is] = [read(before as string), read(after as string)];
    for (const [name, entry] of is) {
      const old = was.get(name);
      if (!old) throw new Error(`no ${name}`);
      // The base is bf16: widened by zeros, it is what f32 begins with.
      const wide = new Float32Array(Uint8Array.from(bytes(after as string, entry)).buffer);
      const narrow = new Uint16Array(Uint8Array.from(bytes(before as string, old)).buffer);
      const same = wide.every(
        (value, i) => new Uint32Array(Float32Array.of(value).buffer)[0] === ((narrow[i] as number) << 16) >>> 0,
      );
      if (!same) changed.add(Number(/layers\.(\d+)\./.exec(name)?.[1] ?? Number.NaN) || name);
    }
    expect([...changed].sort()).toEqual([4, 5]);
  });

  it.each([
    ['shuffled', {}],
    [
      'in stages',
      {
        curriculum: {
          stages: [
            { share: 1, weights: { one: 1 } },
            { share: 1, weights: { one: 1, three: 3 } },
          ],
        },
      },
    ],
    ['short documents first', { curriculum: 'length' }],
    ['easy documents first', { curriculum: 'score' }],
  ])('interrupted and resumed is the uninterrupted run bit for bit: %s', async (_, options) => {
    const wanted = { ...options, domains: two(), maxSteps: 6, batchSize: 1 };
    const whole = await run({ ...wanted, outputDir: file('whole') });
    const onEvent = (event: RunEvent, stop: AbortController) => {
      if (event.type === 'train.step' && event.step === 3) stop.abort(new Error('interrupted'));
    };
    const interrupted = { ...wanted, outputDir: file('parts') };
    await expect(run(interrupted, { onEvent })).rejects.toThrow();
    const resumed = await run(interrupted, { resume: true });
    const digest = (outputs: Readonly<Record<string, unknown>>) =>
      createHash('sha256')
        .update(readFileSync(join(outputs.adapter as string, 'adapter_model.safetensors')))
        .digest('hex');
    expect(digest(resumed.outputs)).toBe(digest(whole.outputs));
    expect(losses(resumed.events)).toEqual(losses(whole.events).slice(3));
  });

  it.each([
    [{ domains: [] }, /domains/],
    [
      {
        domains: [
          { name: 'a', dataset: 'one.txt' },
          { name: 'a', dataset: 'three.txt' },
        ],
      },
      /another name than a/,
    ],
    [
      {
        domains: [
          { name: 'a', dataset: 'one.txt', weight: 1 },
          { name: 'b', dataset: 'three.txt' },
        ],
      },
      /a weight for every/,
    ],
    [{ curriculum: { stages: [{ share: 1, weights: { two: 1 } }] } }, /a name of a domain: one/],
    [{ trainLayers: [0] }, /full: true only/],
    [{ full: true, trainLayers: [9] }, /no layer 9; the model has 6/],
    [{ domains: [{ name: 'a', dataset: 'nowhere.txt' }] }, /nowhere\.txt/],
  ])('says what is wrong with its options: %o', async (options, message) => {
    await expect(run({ maxSteps: 1, ...options })).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });
});
