import { readFileSync } from 'node:fs';
import { readModelSource, Tokenizer } from '@largeforge/engine';
import {
  chooseThreshold,
  EngineSentenceEncoder,
  type Expert,
  figuresAt,
  type RoutedText,
  Router,
  type ScoredRow,
  type SentenceEncoder,
  type StrategyName,
  trainRouter,
  WordPieces,
} from '@largeforge/router-hybrid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backendLibrary, miniLm, testData } from './environment.js';

/** CLINC150 (Larson et al. 2019), its full version and own split: 150 intents in ten domains, and queries of none. */
type Part = 'train' | 'val' | 'test';
type Rows = Readonly<Record<Part, readonly RoutedText[]>>;

function load(labelOf: (intent: string) => string): Rows {
  const data = JSON.parse(readFileSync(testData('clinc150/data_full.json'), 'utf8')) as Record<string, string[][]>;
  const part = (name: Part): RoutedText[] => [
    ...data[name]!.map(([text, intent]) => ({ text: text!, expert: labelOf(intent!) })),
    ...data[`oos_${name}`]!.map(([text]) => ({ text: text!, expert: null })),
  ];
  return { train: part('train'), val: part('val'), test: part('test') };
}

const domains = JSON.parse(readFileSync(testData('clinc150/domains.json'), 'utf8')) as Record<string, string[]>;
const domainOf = new Map(Object.entries(domains).flatMap(([domain, intents]) => intents.map((i) => [i, domain])));
const sets = { '150 intents': load((intent) => intent), '10 domains': load((intent) => domainOf.get(intent)!) };

/** Every text is embedded once, however many routers ask. */
class Remembering implements SentenceEncoder {
  private readonly known = new Map<string, Float32Array>();
  constructor(private readonly encoder: SentenceEncoder) {}
  get size() {
    return this.encoder.size;
  }
  async encode(texts: readonly string[]): Promise<Float32Array[]> {
    const missing = texts.filter((text) => !this.known.has(text));
    const embeddings = missing.length > 0 ? await this.encoder.encode(missing) : [];
    missing.forEach((text, i) => {
      this.known.set(text, embeddings[i]!);
    });
    return texts.map((text) => this.known.get(text)!);
  }
  close = async () => {};
}

async function scored(router: Router, rows: readonly RoutedText[], experts: readonly Expert[]): Promise<ScoredRow[]> {
  const result: ScoredRow[] = [];
  for (let i = 0; i < rows.length; i += 64) {
    const part = rows.slice(i, i + 64);
    const decisions = await router.decideAll(
      part.map(({ text }) => text),
      { experts },
    );
    part.forEach(({ expert }, j) => {
      const [best] = decisions[j]!.scores;
      result.push({
        confidence: best!.confidence,
        correct: best!.expert === expert && expert !== null,
        outOfScope: expert === null,
      });
    });
  }
  return result;
}

const percent = (share: number) => (100 * share).toFixed(2).padStart(6);

let fast: EngineSentenceEncoder;
let encoder: SentenceEncoder;
beforeAll(async () => {
  fast = await EngineSentenceEncoder.open(miniLm(), { library: backendLibrary });
  encoder = new Remembering(fast);
});
afterAll(() => fast.close());

it('cuts every text of the data as the tokenizers library does', async () => {
  const source = readModelSource(miniLm());
  const [own, library] = [WordPieces.of(source.tokenizer)!, Tokenizer.of(source)];
  const texts = Object.values(sets['150 intents']).flatMap((rows) => rows.map(({ text }) => text));
  const theirs = await library.encodeBatch(texts);
  for (const [i, text] of texts.entries()) {
    const ids = own.encode(text);
    if (ids) expect(ids, text).toEqual(theirs[i]);
  }
  expect(texts.filter((text) => own.encode(text) === undefined).length).toBeLessThan(texts.length / 100);
});

describe.each(Object.entries(sets))('CLINC150, %s', (name, rows) => {
  const labels = [...new Set(rows.train.flatMap(({ expert }) => expert ?? []))].sort();

  it.each([
    ['built-in', false],
    ['MiniLM', true],
  ])('is told apart with the encoder %s', async (encoderName, withEncoder) => {
    const { router } = await trainRouter({
      train: rows.train,
      validation: rows.val,
      ...(withEncoder && { encoder: { path: miniLm(), model: encoder } }),
    });
    const model = withEncoder ? encoder : undefined;
    const plain = labels.map((label) => ({ name: label }));
    // Five examples of each are what a person would write down for a new expert.
    const described = labels.map((label) => ({
      name: label,
      description: label.replaceAll('_', ' '),
      examples: rows.train
        .filter(({ expert }) => expert === label)
        .slice(0, 5)
        .map(({ text }) => text),
    }));
    const figures = new Map<StrategyName, ReturnType<typeof figuresAt>>();
    for (const strategy of ['keyword', 'neural', 'hybrid', 'zero-shot'] as const) {
      const zeroShot = strategy === 'zero-shot';
      const decide = new Router(zeroShot ? undefined : router, model, { strategy });
      const experts = zeroShot ? described : plain;
      const { threshold } = chooseThreshold(await scored(decide, rows.val, experts));
      // The router's own thresholds are these: its decisions are what the figures say.
      if (!zeroShot) expect(router.thresholds[strategy]).toBeCloseTo(threshold, 6);
      const found = figuresAt(await scored(decide, rows.test, experts), threshold);
      figures.set(strategy, found);
      console.log(
        `${name} | ${encoderName} | ${strategy} | ${percent(found.inScopeAccuracy)} | ${percent(found.outOfScopeRecall)}`,
      );
    }
    const of = (strategy: StrategyName) => figures.get(strategy)!;
    if (withEncoder) {
      expect(of('neural').inScopeAccuracy).toBeGreaterThanOrEqual(0.93);
      expect(of('neural').outOfScopeRecall).toBeGreaterThanOrEqual(0.6);
      expect(of('hybrid').inScopeAccuracy).toBeGreaterThanOrEqual(0.93);
    }
    expect(of('neural').inScopeAccuracy).toBeGreaterThan(0.87);
    expect(of('neural').inScopeAccuracy).toBeGreaterThan(of('keyword').inScopeAccuracy);
    expect(of('neural').inScopeAccuracy).toBeGreaterThan(of('zero-shot').inScopeAccuracy);
  });
});
