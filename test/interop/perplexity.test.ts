import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import backendCpu from '@largeforge/backend-cpu';
import { testPlugin } from '@largeforge/core/testing';
import evaluate from '@largeforge/evaluate';
import { describe, expect, it } from 'vitest';
import { python, smolLm2, temporaryFolder, testData } from './environment.js';

/** Windows that both sides score; the published figure of 26.05 is over the first 60. */
const WINDOWS = 8;
const cases = [
  { dtype: 'f32', torch: 'float32', window: 512, stride: 512, tolerance: 1e-4 },
  { dtype: 'f32', torch: 'float32', window: 256, stride: 100, tolerance: 1e-4 },
  // Rounding to bf16 differs at every step of the two implementations.
  { dtype: 'bf16', torch: 'bfloat16', window: 512, stride: 512, tolerance: 5e-3 },
] as const;

describe('perplexity of WikiText-2 under SmolLM2-135M-Instruct', () => {
  it('is the figure of transformers', async () => {
    const text = testData('wikitext-2/test.txt');
    const out = join(temporaryFolder(), 'perplexity.json');
    const specs = cases.map(({ torch, window, stride }) => `${torch}:${window}:${stride}`);
    python('perplexity_reference.py', smolLm2(), text, out, String(WINDOWS), ...specs);
    const expected: number[] = JSON.parse(readFileSync(out, 'utf8'));
    for (const [i, { dtype, window, stride, tolerance }] of cases.entries()) {
      await using test = await testPlugin(evaluate, { plugins: [backendCpu], config: { backend: 'cpu' } });
      const outputs = await test.runStep({
        stage: 'evaluate',
        use: 'perplexity',
        with: { model: smolLm2(), dataset: text, dtype, window, stride, maxWindows: WINDOWS },
      });
      const ours = outputs.perplexity as number;
      console.log(`${dtype} ${window}/${stride}: ${ours.toFixed(4)}, transformers ${expected[i]!.toFixed(4)}`);
      expect(Math.abs(ours / expected[i]! - 1)).toBeLessThan(tolerance);
    }
  });
});
