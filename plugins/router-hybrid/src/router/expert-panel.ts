import type { SentenceEncoder } from '../encoders/sentence-encoder.js';
import { either, pool } from '../hybrid/pool.js';
import { type KeywordRule, type KeywordScores, KeywordStrategy } from '../keywords/keyword-strategy.js';
import type { EncodedText } from '../neural/neural-strategy.js';
import { ZeroShotStrategy } from '../zero-shot/zero-shot-strategy.js';
import type { Expert } from './expert.js';
import type { StrategyName, TrainedRouter } from './trained-router.js';

/** A query, and what can be known of it without its embedding, which takes longest. */
export interface ReadQuery extends EncodedText {
  readonly keywords?: KeywordScores;
}

/** What a strategy thinks of a query. */
export interface Opinion {
  /** Confidence of every expert, the highest first. */
  readonly scores: readonly { readonly expert: string; readonly confidence: number }[];
  /** The most likely class. */
  readonly intent?: string;
  /** An expert that a keyword rule alone decides for. */
  readonly certain?: string;
}

const noTerms: KeywordScores = { confidences: new Map(), matches: [] };

/**
 * A set of experts as one strategy scores them. Classes are a trained router's labels and the experts' names; an expert
 * answers the class of its name and the classes among its domains, and its confidence is the sum of theirs.
 */
export class ExpertPanel {
  private readonly classes: ReadonlyMap<string, readonly string[]>;
  private readonly byName: ReadonlyMap<string, Expert>;
  private readonly untrained: readonly string[];

  private constructor(
    private readonly experts: readonly Expert[],
    private readonly strategy: StrategyName,
    private readonly trained: TrainedRouter | undefined,
    private readonly keywords: KeywordStrategy,
    private readonly zeroShot: ZeroShotStrategy | undefined,
  ) {
    const labels = new Set(trained?.neural.labels);
    this.byName = new Map(experts.map((expert) => [expert.name, expert]));
    this.classes = new Map(
      experts.map(({ name, domains = [] }) => [name, [...new Set([name, ...domains.filter((d) => labels.has(d))])]]),
    );
    this.untrained = experts
      .filter(({ name }) => !this.classes.get(name)!.some((label) => labels.has(label)))
      .map(({ name }) => name);
  }

  static async of(
    experts: readonly Expert[],
    strategy: StrategyName,
    trained?: TrainedRouter,
    encoder?: SentenceEncoder,
  ): Promise<ExpertPanel> {
    const rules = new Map<string, KeywordRule[]>();
    if (strategy === 'keyword' || strategy === 'hybrid') {
      for (const [label, learned] of trained?.keywords ?? []) rules.set(label, [...learned]);
      for (const { name, keywords = [] } of experts) rules.set(name, [...(rules.get(name) ?? []), ...keywords]);
    }
    const needsProfiles = strategy === 'zero-shot' || strategy === 'hybrid' || !trained;
    const zeroShot = needsProfiles ? await profilesOf(experts, trained, encoder) : undefined;
    return new ExpertPanel(experts, strategy, trained, new KeywordStrategy(rules), zeroShot);
  }

  expert(name: string): Expert | undefined {
    return this.byName.get(name);
  }

  /** Whether decisions read a query's embedding, where there is an encoder. */
  get readsEmbeddings(): boolean {
    return this.strategy !== 'keyword';
  }

  /** The part of a decision that needs no embedding: it is done while the encoder works. */
  read(text: string): ReadQuery {
    const { strategy, trained } = this;
    const readsTerms = strategy === 'keyword' || strategy === 'hybrid';
    const readsNgrams = trained && (strategy === 'neural' || strategy === 'hybrid');
    return {
      text,
      ...(readsNgrams && { ngrams: trained.neural.vocabulary.encode(text) }),
      ...(readsTerms && { keywords: this.keywords.score(text) }),
    };
  }

  score(query: ReadQuery): Opinion {
    const { strategy, trained } = this;
    const { confidences, certain } = query.keywords ?? noTerms;
    if (strategy === 'zero-shot') return this.opinion(this.zeroShot!.confidences(query));
    if (strategy === 'keyword') return this.opinion(confidences, certain);
    const base = this.withUntrained(query);
    if (strategy === 'neural') return this.opinion(base);
    return this.opinion(trained ? pool(base, confidences, trained.pool) : either(base, confidences), certain);
  }

  /**
   * The classifier's probabilities. Experts that it was not trained for take their share by likeness first, and it
   * divides the rest: so a new expert gets queries at once.
   */
  private withUntrained(query: EncodedText): Map<string, number> {
    if (!this.trained) return this.zeroShot!.confidences(query);
    const { neural } = this.trained;
    const probabilities = neural.probabilities(query);
    const result = new Map(neural.labels.map((label, i) => [label, probabilities[i]!]));
    if (this.untrained.length === 0 || !this.zeroShot) return result;
    const likeness = this.zeroShot.confidences(query);
    let taken = 0;
    for (const name of this.untrained) taken += likeness.get(name) ?? 0;
    for (const [label, value] of result) result.set(label, value * (1 - taken));
    for (const name of this.untrained) result.set(name, likeness.get(name) ?? 0);
    return result;
  }

  private opinion(classes: ReadonlyMap<string, number>, certain?: string): Opinion {
    let intent: string | undefined;
    let highest = 0;
    for (const [name, value] of classes) if (value > highest) [intent, highest] = [name, value];
    const scores = this.experts.map(({ name }) => {
      let confidence = 0;
      for (const label of this.classes.get(name)!) confidence += classes.get(label) ?? 0;
      return { expert: name, confidence: Math.min(1, confidence) };
    });
    scores.sort((a, b) => b.confidence - a.confidence);
    const sure = certain === undefined ? undefined : this.answering(certain);
    return { scores, ...(intent !== undefined && { intent }), ...(sure !== undefined && { certain: sure }) };
  }

  private answering(label: string): string | undefined {
    if (this.byName.has(label)) return label;
    return this.experts.find(({ name }) => this.classes.get(name)!.includes(label))?.name;
  }
}

async function profilesOf(
  experts: readonly Expert[],
  trained: TrainedRouter | undefined,
  encoder: SentenceEncoder | undefined,
): Promise<ZeroShotStrategy> {
  const texts = [...new Set(experts.flatMap(({ description, examples = [] }) => [description ?? '', ...examples]))];
  const embeddings = new Map<string, Float32Array>();
  const batch = 32;
  for (let i = 0; encoder && i < texts.length; i += batch) {
    const part = texts.slice(i, i + batch);
    (await encoder.encode(part)).forEach((embedding, j) => {
      embeddings.set(part[j]!, embedding);
    });
  }
  const encoded = (text: string): EncodedText => {
    const embedding = embeddings.get(text);
    return { text, ...(embedding && { embedding }) };
  };
  const profiles = experts.map(({ name, description, examples = [] }) => ({
    name,
    ...(description && { description: encoded(description) }),
    examples: examples.map(encoded),
  }));
  return new ZeroShotStrategy(profiles, trained?.neural.vocabulary);
}
