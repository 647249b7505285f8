import { fileURLToPath } from 'node:url';
import type { StepContext } from '@largeforge/core';
import { readModelSource, Tokenizer } from '@largeforge/engine';
import { expect, it, vi } from 'vitest';
import { type FineTuning, fineTune } from './fine-tune.js';
import { type TrainerOptions, trainerOptions } from './options.js';

const device = vi.hoisted(() => ({ kind: 'cuda', closed: 0 }));
vi.mock('@largeforge/engine', async (original) => ({
  ...(await original<typeof import('@largeforge/engine')>()),
  openDevice: () => ({
    properties: { kind: device.kind, name: 'NVIDIA H200' },
    [Symbol.dispose]: () => device.closed++,
  }),
}));

it('deterministic refuses a backend that does not promise it, before the model is opened', async () => {
  const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
  const source = readModelSource(base);
  const context = {
    name: 'tune',
    outputDir: 'out',
    events: { emit() {} },
    backend: async () => ({ library: 'none', threads: 1, device: 0 }),
  };
  const tuning: FineTuning<never, never> = {
    base,
    source,
    tokenizer: Tokenizer.of(source),
    rows: { fingerprint: 'rows', lengths: Uint32Array.of(8), read: async () => [] },
    heldOut: undefined,
    learningRates: { adapter: 1e-4, full: 1e-5 },
    objective() {
      throw new Error('the model was opened');
    },
  };
  const options = trainerOptions.parse({ model: base, dataset: 'rows', deterministic: true }) as TrainerOptions;
  await expect(fineTune(context as unknown as StepContext<'train'>, options, tuning)).rejects.toMatchObject({
    code: 'LF_TRAINER_NOT_DETERMINISTIC',
    message: expect.stringContaining('NVIDIA H200'),
  });
  expect(device.closed).toBe(1);
});
