import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  asCausal,
  loadAdapter,
  loadModel,
  loadModelFiles,
  openDevice,
  readModelSource,
  savePretrained,
  selectLayers,
  setAdapterEnabled,
  Tokenizer,
} from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { format } from '../../plugins/data/src/formats/sharegpt-preference.js';
import { tokeniseExample } from '../../plugins/data/src/tokenise/tokenise-example.js';
import { modelTeacher } from '../../plugins/trainer-distill/src/teacher/teacher.js';
import type { TopK } from '../../plugins/trainer-distill/src/teacher/top-k-file.js';
import { askModel } from '../../plugins/trainer-distill/src/teacher/top-k-table.js';
import { spread } from '../../plugins/trainer-distill/src/trainer.js';
import { answerBatch, logProbabilities } from '../../plugins/trainer-dpo/src/answers/answer-batch.js';
import { answerNll } from '../../plugins/trainer-dpo/src/answers/read-back.js';
import { evaluations, largeforge } from './command.js';
import { backendLibrary, smolLm2, temporaryFolder, testData } from './environment.js';

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
/** Tokens of either answer with its prompt: of pairs that are trained on, cut off there, and of those that are held out. */
const [trainedLength, heldOutLength] = [384, 384];

describe('SmolLM2-135M-Instruct, trained on pairs of answers', () => {
  it('prefers the chosen answers of held-out pairs', async () => {
    const pairs = JSON.parse(readFileSync(testData('llama-factory-demo/dpo_en_demo.json'), 'utf8')) as unknown[];
    const tokenizer = Tokenizer.of(readModelSource(smolLm2()));
    const tokenised = await Promise.all(
      pairs.map((row) => {
        const examples = format.examples(format.schema.parse(row), {
          columns: {},
          style: 'auto',
          hasChatTemplate: true,
        });
        return Promise.all(examples.map((example) => tokeniseExample(example, tokenizer, 'auto')));
      }),
    );
    const upTo = (length: number) => (pair: unknown) =>
      tokenised[pairs.indexOf(pair)]?.every(({ tokens }) => tokens.length <= length);
    // Margins of pairs differ by about 0.3: fewer pairs tell nothing.
    const heldOut = pairs.filter(upTo(heldOutLength)).slice(0, 60);
    const held = new Set(heldOut);
    // What the program says of pairs that it holds out is looked at with a few.
    const few = heldOut.filter(upTo(trainedLength)).slice(0, 8);
    writeFileSync(file('pairs.json'), JSON.stringify(pairs.filter((pair) => !held.has(pair))));
    writeFileSync(file('held-out.json'), JSON.stringify(few));
    const events = await largeforge(
      folder,
      ...['train', 'dpo', '--model', smolLm2(), '--output-dir', 'dpo', '--beta', '0.1'],
      ...['--dataset', 'pairs.json', '--eval-dataset', 'held-out.json'],
      ...['--max-length', String(trainedLength), '--overlong', 'truncate', '--batch-size', '4'],
      ...['--max-steps', '40', '--learning-rate', '1.5e-4'],
    );
    const last = evaluations(events).at(-1);

    const device = openDevice({ library: backendLibrary });
    const model = asCausal(await loadModel(device, smolLm2(), { dtype: 'bf16' }));
    loadAdapter(model, file('dpo'));
    const rows = heldOut.map((pair) => tokenised[pairs.indexOf(pair)] ?? []);
    const margins: number[] = [];
    for (const row of rows) {
      const batch = answerBatch(row);
      const logps = async (enabled: boolean) => {
        setAdapterEnabled(model, enabled);
        return logProbabilities(await answerNll(model, batch).floats(), batch) as [number, number];
      };
      const [[chosen, rejected], [baseChosen, baseRejected]] = [await logps(true), await logps(false)];
      margins.push(0.1 * (chosen - baseChosen - (rejected - baseRejected)));
    }
    device[Symbol.dispose]();
    const mean = margins.reduce((sum, margin) => sum + margin, 0) / margins.length;
    const variance = margins.reduce((sum, margin) => sum + (margin - mean) ** 2, 0) / (margins.length - 1);
    // Student's t at 59 degrees of freedom, two-sided 95 %.
    const half = 2.001 * Math.sqrt(variance / margins.length);
    const meanLoss = (of: readonly number[]) =>
      of.reduce((sum, margin) => sum + Math.log1p(Math.exp(-margin)), 0) / of.length;
    const accuracy = margins.filter((margin) => margin > 0).length / margins.length;
    console.log(
      `held-out DPO loss ${meanLoss(margins).toFixed(4)}, margin ${mean.toFixed(3)} (95 % ${(mean - half).toFixed(3)} to ` +
        `${(mean + half).toFixed(3)}), accuracy ${accuracy.toFixed(2)}`,
    );
    const ofFew = few.map((pair) => margins[heldOut.indexOf(pair)] as number);
    expect(ofFew.length).toBe(8);
    expect(Math.abs((last?.loss as number) - meanLoss(ofFew))).toBeLessThan(0.05);
    expect(meanLoss(margins)).toBeLessThan(Math.LN2);
    expect(mean - half).toBeGreaterThan(0);
  }, 1_800_000);
});

describe('a student of half the depth of SmolLM2-135M-Instruct', () => {
  it('learns more from its teacher than from the text alone, in as many steps', async () => {
    const device = openDevice({ library: backendLibrary });
    const source = readModelSource(smolLm2());
    const layers = spread(30, 15);
    const half = loadModelFiles(device, selectLayers(source, layers), { dtype: 'bf16' });
    await savePretrained(half, file('half'), { ...(source.tokenizer ? { tokenizer: source.tokenizer } : {}) });
    device[Symbol.dispose]();
    const text = readFileSync(testData('wikitext-2/valid.txt'), 'utf8')
      .split('\n')
      .filter((line) => line.length > 200);
    writeFileSync(file('articles.txt'), text.slice(0, 400).join('\n'));
    writeFileSync(file('unseen.txt'), text.slice(400, 430).join('\n'));
    const shared = [
      ...[
        '--model',
        'half',
        '--full',
        '--dataset',
        'articles.txt',
        '--eval-dataset',
        'unseen.txt',
        '--overlong',
        'split',
      ],
      ...['--max-length', '128', '--packing', '--batch-size', '4', '--max-steps', '40', '--learning-rate', '5e-4'],
    ];
    const teacher = ['--teacher', smolLm2(), '--temperature', '2', '--alpha', '0.5'];
    const taught = await largeforge(folder, 'train', 'distill', ...shared, ...teacher, '--output-dir', 'taught');
    const alone = await largeforge(folder, 'train', 'sft', ...shared, '--output-dir', 'alone');
    const [withTeacher, without] = [evaluations(taught).at(-1)?.loss, evaluations(alone).at(-1)?.loss];
    console.log(`cross-entropy of unseen text: taught ${withTeacher?.toFixed(3)}, alone ${without?.toFixed(3)}`);
    expect(withTeacher).toBeLessThan(without as number);
  });
});

describe('a teacher of four bits', () => {
  it('takes about a third of the memory of one in bf16, and says nearly the same', async () => {
    const text = 'The tower was built in 1889, and it is still the tallest structure of the city.';
    const tokens = await Tokenizer.of(readModelSource(smolLm2())).encode(text);
    const row = { tokens, mask: new Uint8Array(tokens.length).fill(1) };
    const asked = async (weights: 'as-stored' | 'bf16') => {
      using device = openDevice({ library: backendLibrary });
      const teacher = asCausal(loadModelFiles(device, readModelSource(smolLm2()), { dtype: 'bf16', weights }));
      const [taught] = await askModel(teacher, modelTeacher(teacher), 1).ask([row]);
      return { taught: taught as TopK, bytes: device.stats().persistentBytes };
    };
    const [four, sixteen] = [await asked('as-stored'), await asked('bf16')];
    const agreeing = four.taught.tokens.filter((token, i) => token === sixteen.taught.tokens[i]).length;
    console.log(
      `teacher: ${(four.bytes / 2 ** 20).toFixed(0)} MiB in 4 bits, ${(sixteen.bytes / 2 ** 20).toFixed(0)} MiB in bf16; ` +
        `${agreeing} of ${four.taught.tokens.length} likeliest tokens agree`,
    );
    expect(four.bytes).toBeLessThan(0.5 * sixteen.bytes);
    expect(agreeing).toBeGreaterThan(0.8 * four.taught.tokens.length);
  });
});

describe('SmolLM2-135M-Instruct, pre-trained further on one domain', () => {
  it("lowers that domain's perplexity, and reports the others", async () => {
    const plays = readFileSync(testData('tinyshakespeare/input.txt'), 'utf8');
    const speeches = plays.split('\n\n');
    const together = Array.from({ length: Math.floor(speeches.length / 12) }, (_, i) =>
      JSON.stringify({ text: speeches.slice(12 * i, 12 * i + 12).join('\n\n') }),
    );
    writeFileSync(file('plays.jsonl'), together.slice(0, 200).join('\n'));
    writeFileSync(file('unseen-plays.jsonl'), together.slice(-8).join('\n'));
    const articles = readFileSync(testData('wikitext-2/test.txt'), 'utf8')
      .split('\n')
      .filter((line) => line.length > 300);
    writeFileSync(file('replayed.txt'), articles.slice(0, 100).join('\n'));
    writeFileSync(file('unseen-articles.txt'), articles.slice(100, 108).join('\n'));
    const config = {
      plugins: ['@largeforge/backend-cpu', '@largeforge/trainer-pretrain'],
      pipeline: [
        {
          name: 'adapt',
          stage: 'train',
          use: 'pretrain',
          with: {
            model: smolLm2(),
            outputDir: './adapted',
            maxLength: 256,
            maxSteps: 16,
            learningRate: 7e-4,
            evalOnStart: true,
            domains: [
              { name: 'plays', dataset: './plays.jsonl', evalDataset: './unseen-plays.jsonl', weight: 0.9 },
              { name: 'articles', dataset: './replayed.txt', evalDataset: './unseen-articles.txt', weight: 0.1 },
            ],
          },
        },
      ],
    };
    writeFileSync(file('largeforge.config.json'), JSON.stringify(config));
    const events = await largeforge(folder, 'run');
    const [before, after] = [evaluations(events)[0], evaluations(events).at(-1)];
    const perplexity = (of: typeof before, domain: string) => Math.exp(of?.[`loss/${domain}`] as number);
    for (const domain of ['plays', 'articles']) {
      console.log(
        `${domain}: perplexity ${perplexity(before, domain).toFixed(2)} -> ${perplexity(after, domain).toFixed(2)}`,
      );
    }
    expect(perplexity(after, 'plays')).toBeLessThan(0.8 * perplexity(before, 'plays'));
    expect(Number.isFinite(perplexity(after, 'articles'))).toBe(true);
  });
});
