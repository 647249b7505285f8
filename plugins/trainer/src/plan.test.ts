import { fileURLToPath } from 'node:url';
import type { StepContext } from '@largeforge/core';
import { type CheckpointPolicy, type ModelSource, readModelSource, trainingOptions } from '@largeforge/engine';
import { describe, expect, it, vi } from 'vitest';
import { type TrainerOptions, trainerOptions } from './options.js';
import { announcePlan, type FrozenModel } from './plan.js';

const free = vi.hoisted(() => ({ bytes: 0 }));
vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  freemem: () => free.bytes,
}));

const source = readModelSource(fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url)));

/** What a run of rows of 2,048 tokens at most is told with so much free memory. */
function planned(megabytes: number, options: Record<string, unknown>, frozen: readonly FrozenModel[] = []) {
  free.bytes = megabytes * 2 ** 20;
  const events: { type: string; lines?: readonly string[]; estimate?: { total: number } }[] = [];
  const context = { events: { emit: (event: (typeof events)[number]) => events.push(event) }, name: 'tune' };
  const rows = { lengths: Uint32Array.from([2048, 100, 7, 900]) };
  const policy = announcePlan(
    context as unknown as StepContext<'train'>,
    trainerOptions.parse({ model: 'base', dataset: 'rows', ...options }) as TrainerOptions,
    trainingOptions.parse({ optimizer: { learningRate: 1e-4 } }),
    { source, frozen, folder: 'out', rows },
  );
  const { lines = [], estimate } = events.find(({ type }) => type === 'memory.estimate')!;
  return { policy, text: lines.join('\n'), bytes: estimate?.total as number };
}

const first = (policy: CheckpointPolicy) => (policy as { first: number }).first;

describe('gradientCheckpointing: auto', () => {
  const auto = { gradientCheckpointing: 'auto', full: true };
  const layers = 6;

  it('computes no block again where all fits, and every one where hardly anything does', () => {
    const plenty = planned(100_000, auto);
    expect(plenty.policy).toEqual({ first: 0 });
    expect(plenty.text).toContain('no blocks are computed again');
    expect(plenty.bytes).toBe(planned(0, { full: true, gradientCheckpointing: 'none' }).bytes);
    const none = planned(1, auto);
    expect(none.policy).toEqual({ first: layers });
    expect(none.bytes).toBe(planned(0, { full: true, gradientCheckpointing: 'all' }).bytes);
  });

  it('computes as few again as will do: one fewer would not fit', () => {
    const counts = new Set<number>();
    for (let megabytes = 100; megabytes < 1200; megabytes += 50) {
      const { policy, bytes, text } = planned(megabytes, auto);
      const count = first(policy);
      counts.add(count);
      if (count > 0 && count < layers) expect(text).toContain(`the first ${count} blocks are computed again`);
      if (count < layers) expect(bytes).toBeLessThanOrEqual(0.85 * megabytes * 2 ** 20);
      if (count === 0) continue;
      const fewer = planned(megabytes, { full: true, gradientCheckpointing: `first:${count - 1}` });
      expect(fewer.bytes).toBeGreaterThan(0.85 * megabytes * 2 ** 20);
    }
    expect(counts.size).toBeGreaterThan(3);
  });

  it('leaves room for models that are only asked', () => {
    const megabytes = 300;
    const alone = first(planned(megabytes, auto).policy);
    const beside = Array.from({ length: 30 }, () => ({ source }));
    expect(first(planned(megabytes, auto, beside).policy)).toBeGreaterThan(alone);
  });
});

describe('the memory of a plan', () => {
  it('counts what an optimiser, an average and DoRA keep', () => {
    const bytes = (options: object) => planned(1000, options).bytes;
    const adapter = bytes({ lora: { r: 8 } });
    expect(bytes({ full: true, optimizer: 'adamw_8bit' })).toBeLessThan(bytes({ full: true }));
    expect(bytes({ lora: { r: 8 }, averageDecay: 0.99 })).toBeGreaterThan(adapter);
    expect(bytes({ lora: { r: 8, dora: true } })).toBeGreaterThan(adapter);
    expect(bytes({ lora: { r: 8 }, frozenWeights: 'nf4' })).toBeLessThan(adapter);
    expect(bytes({ lora: { r: 8 }, gradientCheckpointing: 'every:2' })).toBeLessThan(adapter);
  });

  it('counts a model that is only asked in the bits of its files, where it stays in them', () => {
    const coded: ModelSource = {
      ...source,
      tensors: new Map(
        [...source.tensors].map(([name, entry]) => [name, { ...entry, bytes: entry.bytes * (4.5 / 16) }]),
      ),
    };
    const asked = (model: FrozenModel) =>
      Number(/models that are not trained (\d+) MiB/.exec(planned(1000, {}, new Array(50).fill(model)).text)?.[1]);
    const wide = asked({ source });
    expect(asked({ source: coded })).toBe(wide);
    expect(asked({ source, asStored: true })).toBe(wide);
    expect(asked({ source: coded, asStored: true }) / wide).toBeLessThan(0.5);
  });
});
