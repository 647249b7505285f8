import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  asCausal,
  type CausalLanguageModel,
  createGenerationEngine,
  type Device,
  greedy,
  loadModelFiles,
  openDevice,
  packSequences,
  readModelSource,
  scope,
  Tokenizer,
} from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backendLibrary, python, readJsonLines, smolLm2, temporaryFolder, testData } from './environment.js';
import { readNpy } from './npy.js';

/** Below this gap of the two best logits, two correct f32 implementations may choose differently. */
const TIE = 1e-4;

interface Reference {
  prompt: number[];
  tokens: number[];
  gaps: number[];
}

/** Twenty prompts of different kinds: tasks, sums, questions, prose. */
function prompts(): string[] {
  const instructions = readJsonLines(testData('self-instruct/seed_tasks.jsonl'))
    .slice(0, 8)
    .map((row) => String(row.instruction));
  const sums = readJsonLines(testData('gsm8k/test.jsonl'))
    .slice(0, 5)
    .map((row) => `Question: ${row.question}\nAnswer:`);
  const questions = readJsonLines(testData('fastchat/vicuna_bench_question.jsonl'))
    .slice(0, 5)
    .map((row) => (row.turns as string[])[0]!);
  const prose = readFileSync(testData('wikitext-2/valid.txt'), 'utf8')
    .split('\n')
    .filter((line) => line.length > 300)
    .slice(0, 2);
  return [...instructions, ...sums, ...questions, ...prose.map((line) => line.trim().slice(0, 300))];
}

describe('SmolLM2-135M-Instruct from GGUF against transformers, f32', () => {
  let device: Device;
  let model: CausalLanguageModel;
  let tokenizer: Tokenizer;
  let reference: Reference[];
  let logits: { shape: number[]; data: Float32Array };
  const texts = prompts();

  beforeAll(() => {
    const folder = temporaryFolder();
    const file = (name: string) => join(folder, name);
    writeFileSync(file('prompts.json'), JSON.stringify(texts));
    python('greedy_reference.py', smolLm2(), file('prompts.json'), file('out.json'), file('logits.npy'));
    reference = JSON.parse(readFileSync(file('out.json'), 'utf8'));
    logits = readNpy(file('logits.npy'));
    const source = readModelSource(smolLm2());
    device = openDevice({ library: backendLibrary });
    model = asCausal(loadModelFiles(device, source, { dtype: 'f32' }));
    tokenizer = Tokenizer.of(source);
  });

  afterAll(() => device?.[Symbol.dispose]());

  it('tokenises the prompts as transformers does', async () => {
    for (const [i, text] of texts.entries()) {
      expect(Array.from(await tokenizer.encode(text, { addSpecialTokens: false }))).toEqual(reference[i]!.prompt);
    }
  });

  it('gives the same logits within 1e-3 of the largest', async () => {
    const ours = await scope(() => model.logits(model.hidden(packSequences([reference[0]!.prompt])))).floats();
    expect(ours.length).toBe(logits.data.length);
    let difference = 0;
    let largest = 0;
    for (let i = 0; i < ours.length; i++) {
      difference = Math.max(difference, Math.abs(ours[i]! - logits.data[i]!));
      largest = Math.max(largest, Math.abs(logits.data[i]!));
    }
    console.log(`largest difference of a logit: ${(difference / largest).toExponential(2)} of the largest logit`);
    expect(difference / largest).toBeLessThan(1e-3);
  });

  it('chooses the same first 64 tokens on 20 prompts, all in one batch', async () => {
    const engine = createGenerationEngine({ model, tokenizer, limits: { maxSequences: 32 } });
    const ties: string[] = [];
    await Promise.all(
      reference.map(async ({ prompt, tokens, gaps }, i) => {
        const ours: number[] = [];
        for await (const event of engine.generate({
          promptTokens: prompt,
          sampling: greedy,
          maxTokens: 64,
          ignoreEos: true,
        })) {
          if (event.type === 'token') ours.push(...event.tokens);
        }
        const at = ours.findIndex((token, j) => token !== tokens[j]);
        if (at < 0) return;
        expect(gaps[at], `prompt ${i}, token ${at}: ${ours[at]} instead of ${tokens[at]}`).toBeLessThan(TIE);
        ties.push(`prompt ${i}, token ${at}: the two best logits differ by ${gaps[at]}`);
      }),
    );
    await engine.close();
    console.log(ties.length === 0 ? 'no ties' : `ties:\n${ties.join('\n')}`);
    expect(ties.length).toBeLessThanOrEqual(2);
  });
});
