import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import backendCpu from '@largeforge/backend-cpu';
import { testPlugin } from '@largeforge/core/testing';
import {
  asCausal,
  type CausalLanguageModel,
  type Device,
  loadModel,
  openDevice,
  packSequences,
  readModelSource,
  scope,
  Tokenizer,
} from '@largeforge/engine';
import evaluate from '@largeforge/evaluate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backendLibrary, python, readJsonLines, smolLm2, temporaryFolder, testData } from './environment.js';

/** Documents of each task, and of the generative one: few, as the check is of the same arithmetic; more when asked for. */
const size = (name: string, few: number) => Number(process.env[`LARGEFORGE_EVAL_${name}`] ?? few);
const ROWS = size('ROWS', 12);
const GENERATED_ROWS = size('GENERATED_ROWS', 2);
const NEW_TOKENS = size('NEW_TOKENS', 16);
/** Log-likelihoods this near are a tie: either of them may come first, as each is right within 1e-3. */
const TIE = 2e-3;

/** lm-evaluation-harness's sample, and ours in its shape. */
interface Sample {
  readonly doc_id: number;
  readonly target: unknown;
  readonly arguments: readonly (readonly [string, string])[];
  readonly resps: readonly (readonly [unknown])[];
  readonly filter: string;
  readonly acc?: number;
  readonly acc_norm?: number;
  readonly exact_match?: number;
}
interface Report {
  readonly seconds: number;
  readonly results: Readonly<Record<string, number>>;
  readonly samples: readonly Sample[];
}

const multipleChoice = ['arc_easy', 'arc_challenge', 'boolq', 'winogrande'] as const;
const data = {
  arc_easy: testData('eval-mc/arc_easy.validation.jsonl'),
  arc_challenge: testData('eval-mc/arc_challenge.validation.jsonl'),
  boolq: testData('eval-mc/boolq.validation.jsonl'),
  winogrande: testData('eval-mc/winogrande_xl.validation.jsonl'),
  gsm8k: { train: testData('gsm8k/train.jsonl'), test: testData('gsm8k/test.jsonl') },
};

describe('tasks on SmolLM2-135M-Instruct against lm-evaluation-harness, f32', () => {
  let theirs: Record<string, Report>;
  let device: Device;
  let model: CausalLanguageModel;
  const ours: Record<string, { results: Record<string, number>; samples: Sample[]; seconds: number }> = {};

  beforeAll(async () => {
    const folder = temporaryFolder();
    const out = join(folder, 'out.json');
    const sizes = [ROWS, GENERATED_ROWS, NEW_TOKENS].map(String);
    python('lm_eval_reference.py', smolLm2(), dirname(testData('SOURCES.md')), folder, out, ...sizes);
    theirs = JSON.parse(readFileSync(out, 'utf8'));
    await using test = await testPlugin(evaluate, { plugins: [backendCpu], config: { backend: 'cpu' } });
    const run = async (tasks: readonly string[], limit: number, names = tasks) => {
      const outputs = await test.runStep({
        stage: 'evaluate',
        use: 'tasks',
        with: { model: smolLm2(), tasks, data, limit, dtype: 'f32', maxNewTokens: NEW_TOKENS },
      });
      const file = outputs.results as string;
      const document = JSON.parse(readFileSync(file, 'utf8'));
      for (const task of names) {
        const samples = readJsonLines(join(dirname(file), `samples_${task}.jsonl`)) as unknown as Sample[];
        ours[task] = { results: document.results[task], samples, seconds: document.seconds[task] };
      }
    };
    await run(multipleChoice, ROWS);
    // A task file of the harness, as it is.
    await run([join(folder, 'own_text.yaml')], Math.min(ROWS, 3), ['own_text']);
    await run(['gsm8k'], GENERATED_ROWS);
    theirs.own_text = theirs.text!;
    for (const [task, { seconds }] of Object.entries(ours)) {
      console.log(`${task}: ${seconds.toFixed(1)} s, lm-evaluation-harness ${theirs[task]!.seconds.toFixed(1)} s`);
    }
    device = openDevice({ library: backendLibrary });
    model = asCausal(await loadModel(device, smolLm2(), { dtype: 'f32' }));
  });
  afterAll(() => device?.[Symbol.dispose]());

  /** How far the likeliest next token is ahead of the second, after a text, in nats. */
  async function leadAfter(tokens: Int32Array): Promise<number> {
    const logits = await scope(() => {
      const hidden = model.hidden(packSequences([tokens]));
      return model.logits(hidden.narrow(0, tokens.length - 1, 1));
    }).floats();
    const [first, second] = logits.toSorted((x, y) => y - x) as unknown as [number, number];
    return first - second;
  }

  it.each(multipleChoice)('%s: the same prompts, and log-likelihoods within 1e-3', (task) => {
    let largest = 0;
    theirs[task]!.samples.forEach((sample, i) => {
      const own = ours[task]!.samples[i]!;
      expect(own.arguments).toEqual(sample.arguments.map(([context, continuation]) => [context, continuation]));
      sample.resps.forEach(([response], choice) => {
        const [logLikelihood, greedy] = response as [number, boolean];
        const [ownLogLikelihood, ownGreedy] = own.resps[choice]![0] as [number, boolean];
        largest = Math.max(largest, Math.abs(ownLogLikelihood - logLikelihood));
        expect(ownGreedy).toBe(greedy);
      });
    });
    console.log(`${task}: largest difference of a log-likelihood ${largest.toExponential(2)}`);
    expect(largest).toBeLessThan(1e-3);
  });

  it.each(multipleChoice)('%s: the same answers but for ties, and the same accuracies and standard errors', (task) => {
    const { results, samples } = ours[task]!;
    const ties = theirs[task]!.samples.flatMap((sample, i) => {
      const expected = sample.resps.map(([response]) => (response as [number, boolean])[0]);
      const own = samples[i]!.resps.map(([response]) => (response as [number, boolean])[0]);
      const best = (values: number[]) => values.indexOf(Math.max(...values));
      if (best(own) === best(expected)) {
        expect(samples[i]!.acc, `document ${sample.doc_id}`).toBe(sample.acc);
        return [];
      }
      const [first, second] = expected.toSorted((x, y) => y - x);
      expect(first! - second!, `document ${sample.doc_id}`).toBeLessThan(TIE);
      return [`${sample.doc_id}: ${first} ${second}`];
    });
    console.log(
      `${task}: accuracy ${results['acc,none']}, lm-evaluation-harness ${theirs[task]!.results['acc,none']}; ` +
        `${ties.length} ties that are decided otherwise${ties.map((tie) => `\n${tie}`).join('')}`,
    );
    for (const key of ['acc,none', 'acc_norm,none', 'acc_stderr,none', 'acc_norm_stderr,none']) {
      const expected = theirs[task]!.results[key];
      if (expected === undefined) continue;
      if (ties.length === 0) expect(results[key], key).toBeCloseTo(expected, 10);
      else expect(Math.abs(results[key]! - expected), key).toBeLessThan((ties.length + 0.5) / samples.length);
    }
  });

  it('own_text: the same likelihoods of whole texts by word, byte and bit', () => {
    theirs.own_text!.samples.forEach((sample, i) => {
      const [expected, own] = [sample.resps[0]![0], ours.own_text!.samples[i]!.resps[0]![0]] as unknown[];
      const value = (response: unknown) => Number(Array.isArray(response) ? response[0] : response);
      expect(Math.abs(value(own) / value(expected) - 1), `document ${i}`).toBeLessThan(1e-5);
    });
    for (const key of ['word_perplexity,none', 'byte_perplexity,none', 'bits_per_byte,none']) {
      const [own, expected] = [ours.own_text!.results[key]!, theirs.own_text!.results[key]!];
      console.log(`own_text: ${key} ${own}, lm-evaluation-harness ${expected}`);
      expect(Math.abs(own / expected - 1), key).toBeLessThan(1e-4);
    }
  });

  it('gsm8k: the same worked examples; answers part only where two tokens are tied, and the scores are the same', async () => {
    const tokenizer = Tokenizer.of(readModelSource(smolLm2()));
    const tied = new Set<number>();
    for (const [i, sample] of theirs.gsm8k!.samples.entries()) {
      const own = ours.gsm8k!.samples.find(
        ({ doc_id, filter }) => doc_id === sample.doc_id && filter === sample.filter,
      )!;
      const prompt = sample.arguments[0]![0];
      expect(own.arguments[0]![0], `prompt ${i}`).toBe(prompt);
      const [answer, expected] = [own.resps[0]![0] as string, (sample.resps[0] as unknown as string[])[0]!];
      if (answer === expected) {
        expect(own.exact_match, `document ${sample.doc_id}, ${sample.filter}`).toBe(sample.exact_match);
        continue;
      }
      if (tied.has(sample.doc_id)) continue;
      tied.add(sample.doc_id);
      const [here, there] = [await tokenizer.encode(prompt + answer), await tokenizer.encode(prompt + expected)];
      const parts = here.findIndex((token, at) => token !== there[at]);
      const lead = await leadAfter(here.subarray(0, parts < 0 ? here.length : parts));
      console.log(
        `gsm8k: document ${sample.doc_id} is answered otherwise from a tie on, ${lead.toExponential(1)} apart`,
      );
      expect(lead, `document ${sample.doc_id}: ${answer} | ${expected}`).toBeLessThan(TIE);
    }
    for (const key of ['exact_match,strict-match', 'exact_match,flexible-extract']) {
      const [own, expected] = [ours.gsm8k!.results[key]!, theirs.gsm8k!.results[key]!];
      console.log(`gsm8k: ${key} ${own}, lm-evaluation-harness ${expected}, ${tied.size} documents with ties`);
      expect(Math.abs(own - expected), key).toBeLessThan((tied.size + 1e-9) / GENERATED_ROWS + 1e-9);
    }
  });
});
