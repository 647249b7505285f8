/**
 * Fine-tunes a model in full, so that its weights lie off the grid of the file that they came from, as a base for
 * bench/quantise.mjs and bench/pruning.mjs:
 *
 *   node bench/trained-base.mjs --model PATH --data FOLDER --output FOLDER [--steps 300] [--threads N]
 *
 * Steps of 2 x 512 tokens, learning rate 1e-3, bf16 with masters in f32, on the second two thirds of WikiText-2 valid, which
 * the first 128 windows of 512 tokens do not reach, and on 3,000 rows of GSM8K's training split. Prints how far the weights went.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readModelSource, Tokenizer } from '@largeforge/engine';
import { withSteps } from './steps.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    output: { type: 'string' },
    steps: { type: 'string', default: '300' },
    threads: { type: 'string' },
  },
});

const folder = mkdtempSync(join(tmpdir(), 'largeforge-corpus-'));
try {
  const text = readFileSync(join(values.data, 'wikitext-2/valid.txt'), 'utf8');
  const tokenizer = Tokenizer.of(readModelSource(values.model));
  const rest = text.slice(Math.ceil(text.length / 3));
  const [all, learnt] = (await tokenizer.encodeBatch([text, rest])).map((tokens) => tokens.length);
  if (learnt > all - 128 * 512) throw new Error('the calibration text reaches into what is learnt');
  // Articles are documents.
  const articles = rest.split(/(?=^ = [^=].*[^=] = $)/m).map((article) => ({ text: article }));
  const questions = readFileSync(join(values.data, 'gsm8k/train.jsonl'), 'utf8').split('\n').slice(0, 3000);
  const solved = questions
    .map((line) => JSON.parse(line))
    .map(({ question, answer }) => ({ text: `${question}\n${answer}` }));
  const corpus = join(folder, 'corpus.jsonl');
  writeFileSync(corpus, [...articles, ...solved].map((row) => `${JSON.stringify(row)}\n`).join(''));
  const packages = ['backend-cpu', 'data', 'trainer-pretrain'].map((name) => `@largeforge/${name}`);
  await withSteps(packages, values.threads, async (step, work) => {
    const started = performance.now();
    const trained = await step('train', 'pretrain', {
      ...{
        model: values.model,
        outputDir: join(work, 'trained'),
        full: true,
        domains: [{ name: 'corpus', dataset: corpus }],
      },
      ...{ maxSteps: Number(values.steps), batchSize: 2, maxLength: 512, learningRate: 1e-3 },
    });
    console.log(`${values.steps} steps in ${((performance.now() - started) / 1000).toFixed(0)} s`);
    mkdirSync(values.output, { recursive: true });
    cpSync(trained.model, values.output, { recursive: true });
  });
} finally {
  rmSync(folder, { recursive: true });
}
