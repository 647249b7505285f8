import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import { asCausal, loadModel, openDevice, readModelSource, Tokenizer, tokenBatch } from '@largeforge/engine';
import { expect, it } from 'vitest';
import { studentSamples } from './student-samples.js';

const base = fileURLToPath(new URL('../../../../examples/quickstart/base', import.meta.url));

async function opened() {
  const device = openDevice({ library: locateLibrary(), threads: 1 });
  const model = asCausal(await loadModel(device, base, { dtype: 'f32' }));
  return { device, model, tokenizer: Tokenizer.of(readModelSource(base)) };
}

const row = (prompt: readonly number[], answer: readonly number[]) => ({
  tokens: Int32Array.from([...prompt, ...answer]),
  mask: Uint8Array.from([...prompt.map(() => 0), ...answer.map(() => 1)]),
});
const rows = [row([9, 30, 41], [50, 51]), row([12, 300, 77, 78, 8], [60])];
const settings = { share: 1, maxTokens: 5, temperature: 0, maxLength: 64, seed: 3 };

it('the answers are what the student finds likeliest, token by token, and all of them are targets', async () => {
  const { device, model, tokenizer } = await opened();
  const sampled = await studentSamples(model, tokenizer, settings)(rows, { step: 0, index: 0 });
  for (const [i, { tokens, mask }] of sampled.entries()) {
    const prompt = rows[i]!.tokens.subarray(0, rows[i]!.mask.indexOf(1));
    expect(tokens.subarray(0, prompt.length)).toEqual(prompt);
    expect([...mask]).toEqual([...tokens.keys()].map((t) => (t < prompt.length ? 0 : 1)));
    expect(tokens.length).toBeGreaterThan(prompt.length);
    const batch = tokenBatch([{ tokens, mask }]);
    const logits = model.logits(model.hidden(batch));
    const values = await logits.floats();
    const vocabulary = model.config.vocabSize;
    for (let t = prompt.length; t < tokens.length; t++) {
      const before = values.subarray((t - 1) * vocabulary, t * vocabulary);
      expect(tokens[t]).toBe(before.indexOf(Math.max(...before)));
    }
    logits.dispose();
  }
  device[Symbol.dispose]();
});

it('follow from seed and place alone, come in the share that was asked for, and leave rows without room as they are', async () => {
  const { device, model, tokenizer } = await opened();
  const warm = { ...settings, temperature: 1 };
  const at = (step: number, more = {}) =>
    studentSamples(model, tokenizer, { ...warm, ...more })(rows, { step, index: 0 });
  expect(await at(1)).toEqual(await at(1));
  expect(await at(1)).not.toEqual(await at(2));
  expect(await at(1, { maxLength: 3 })).toEqual(rows);
  let own = 0;
  for (let step = 0; step < 40; step++) if ((await at(step, { share: 0.5, maxTokens: 1 })) !== rows) own++;
  expect(own).toBeGreaterThan(10);
  expect(own).toBeLessThan(30);
  device[Symbol.dispose]();
});
