import { testPlugin } from '@largeforge/core/testing';
import { describe, expect, it } from 'vitest';
import trainerSft from './index.js';

const fakes = {
  registries: {
    backend: { cpu: { id: 'cpu', library: '/none.so' } },
    loss: { broken: { create: () => ({}) } },
  },
};

/** Runs a step whose loss is refused before anything is read. */
async function refusal(loss: Record<string, unknown>): Promise<string> {
  await using test = await testPlugin(trainerSft, fakes);
  const step = { stage: 'train', use: 'sft', with: { model: './none', dataset: './none', loss } } as const;
  return await test.runStep(step).then(
    () => 'no error',
    (error: Error) => error.message,
  );
}

describe('loss of supervised fine-tuning', () => {
  it('is looked up by name, before the model is read', async () => {
    expect(await refusal({ name: 'cross-entropi' })).toMatch(
      /step: loss\.name.*cross-entropi.*Did you mean "cross-entropy"\?/,
    );
  });

  it('says which of its options is wrong', async () => {
    expect(await refusal({ with: { labelSmothing: 0.1 } })).toContain(
      'loss.with (cross-entropy).labelSmothing: unknown key. Did you mean "labelSmoothing"?',
    );
    expect(await refusal({ with: { labelSmoothing: 2 } })).toContain(
      'loss.with (cross-entropy).labelSmoothing: Too big',
    );
  });

  it('refuses an entry that is no loss', async () => {
    expect(await refusal({ name: 'broken' })).toContain('the loss "broken" has no options schema');
  });
});
