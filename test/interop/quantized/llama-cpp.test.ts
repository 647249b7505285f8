import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { type PluginTest, testPlugin } from '@largeforge/core/testing';
import { type Device, openDevice, readGguf } from '@largeforge/engine';
import quantize from '@largeforge/quantize';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backendLibrary, llamaCppPackage, testData } from '../environment.js';
import { computed, tokenRows, writeJsonFile, writeRandomModel } from './model.js';

const program = fileURLToPath(new URL('llama-cpp-predictions.mjs', import.meta.url));
const quickstart = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
const tokens = tokenRows(1, 48)[0]!;
let device: Device;
let test: PluginTest;
const path = (name: string) => join(test.folder, name);

beforeAll(async () => {
  device = openDevice({ library: backendLibrary, threads: 2 });
  test = await testPlugin(quantize, { plugins: [backendCpu], config: { backend: { name: 'cpu', threads: 2 } } });
  await writeRandomModel(device, path('base'));
  writeJsonFile(test.folder, 'tokens.json', tokens);
});
afterAll(async () => {
  device[Symbol.dispose]();
  await test.dispose();
});

describe('a GGUF file in llama.cpp', () => {
  // The widths of the quickstart's model are no multiples of 256: it has what K-quants fall back to.
  it.each([
    ['q8_0', 'base', 'q8_0'],
    ['q6_k', 'base', 'q6_k'],
    ['q4_k_m', 'base', 'q4_k'],
    ['q4_k_s', 'base', 'q4_k'],
    ['q4_1', 'base', 'q4_1'],
    ['q4_0', 'base', 'q4_0'],
    ['q4_k_m', 'quickstart', 'q5_0'],
    ['q6_k', 'quickstart', 'q8_0'],
  ])('%s of %s predicts what it predicts here, its queries as %s', async (type, of, stored) => {
    const model = of === 'base' ? path('base') : quickstart;
    const name = `${type}-${of}`;
    const calibration = { calibration: testData('wikitext-2/valid.txt'), samples: 4, sequenceLength: 128 };
    const outputs = await test.runStep({
      ...{ stage: 'optimize', use: 'gguf' },
      with: { model, outputDir: path(name), type, dtype: 'f32', ...calibration },
    });
    const file = outputs.model as string;
    expect(readGguf(file).tensors.get('blk.0.attn_q.weight')!.dtype).toBe(stored);
    const { logits } = await computed(device, file, tokens);
    execFileSync(process.execPath, [program, llamaCppPackage(), file, path('tokens.json'), path('theirs.json')]);
    const theirs: number[][] = JSON.parse(readFileSync(path('theirs.json'), 'utf8'));
    const { kl, same } = divergence(logits, theirs);
    console.log(`${name}: KL ${kl.toExponential(1)} nats, same best token at ${same} of ${theirs.length} positions`);
    // llama.cpp rounds activations to 8 bits, which decides between tokens that a random model thinks equally likely.
    expect(kl).toBeLessThan(2e-3);
    expect(same).toBeGreaterThan(0.8 * theirs.length);
  });
});

/** Of probabilities from those that logits mean, mean over positions. */
function divergence(logits: Float32Array, theirs: readonly number[][]): { kl: number; same: number } {
  const vocabulary = theirs[0]!.length;
  let [kl, same] = [0, 0];
  for (const [row, probabilities] of theirs.entries()) {
    const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    const most = Math.max(...own);
    const sum = own.reduce((total, logit) => total + Math.exp(logit - most), 0);
    own.forEach((logit, token) => {
      const probability = Math.exp(logit - most) / sum;
      kl += (probability * Math.log(probability / Math.max(probabilities[token]!, 1e-30))) / theirs.length;
    });
    if (own.indexOf(most) === probabilities.indexOf(Math.max(...probabilities))) same++;
  }
  return { kl, same };
}
