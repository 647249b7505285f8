import { dot } from '../encoders/features.js';
import { type NgramVector, NgramVocabulary } from '../encoders/ngram-vocabulary.js';
import type { EncodedText } from '../neural/neural-strategy.js';

/** What an expert says of itself, with embeddings where an encoder is in use. */
export interface ExpertProfile {
  readonly name: string;
  readonly description?: EncodedText;
  readonly examples: readonly EncodedText[];
}

/** How many of an expert's nearest texts count. */
const nearest = 3;
/** Likeness that half a point less of makes an expert e^(0.5 x sharpness) times less likely. */
const sharpness = 40;

interface Known {
  readonly expert: number;
  readonly vector: NgramVector;
  readonly embedding: Float32Array | undefined;
}

/**
 * Routes without training, by likeness to what experts say of themselves. An expert's likeness is the mean of its highest
 * cosines (three at most) over its examples and its description; its embedding's and its n-grams' are averaged where both
 * are known. Likeness is kept as the confidence that a text is in scope; among experts it is sharpened into shares.
 */
export class ZeroShotStrategy {
  private readonly vocabulary: NgramVocabulary;
  private readonly known: readonly Known[];
  private readonly names: readonly string[];

  /** @param vocabulary from a larger corpus, where there is one: it knows better which n-grams are rare */
  constructor(experts: readonly ExpertProfile[], vocabulary?: NgramVocabulary) {
    this.names = experts.map(({ name }) => name);
    const texts = experts.flatMap(({ description, examples }, expert) =>
      [...(description ? [description] : []), ...examples].map((text) => ({ expert, ...text })),
    );
    const own = texts.map(({ text }) => text);
    this.vocabulary = vocabulary?.extendedBy(own) ?? NgramVocabulary.of(own, 1);
    this.known = texts.map(({ expert, text, embedding }) => ({
      expert,
      vector: this.vocabulary.encode(text),
      embedding,
    }));
  }

  /** Likeness by expert, -1 to 1. Experts that say nothing of themselves are absent. */
  likeness({ text, embedding }: EncodedText): Map<string, number> {
    const query = this.vocabulary.encode(text);
    // Unseen n-grams are no text's, but they belong to the query's length.
    const scale = Math.sqrt(1 - query.unseen);
    const row = new Float32Array(this.vocabulary.rows);
    for (let i = 0; i < query.buckets.length; i++) row[query.buckets[i]!] = query.weights[i]! * scale;
    const best = this.names.map((): number[] => []);
    for (const known of this.known) {
      const { buckets, weights } = known.vector;
      let lexical = 0;
      for (let i = 0; i < buckets.length; i++) lexical += weights[i]! * row[buckets[i]!]!;
      const semantic = embedding && known.embedding ? dot(embedding, known.embedding) : undefined;
      keepHighest(best[known.expert]!, semantic === undefined ? lexical : (3 * semantic + lexical) / 4);
    }
    const result = new Map<string, number>();
    this.names.forEach((name, index) => {
      const top = best[index]!;
      if (top.length > 0) result.set(name, top.reduce((sum, value) => sum + value, 0) / top.length);
    });
    return result;
  }

  /**
   * Confidence by expert: the likeness of the nearest one, split by how near each is. What is missing from 1 is the
   * chance that the text is none of theirs.
   */
  confidences(text: EncodedText): Map<string, number> {
    const likeness = this.likeness(text);
    const top = Math.max(0, ...likeness.values());
    let total = 0;
    for (const value of likeness.values()) total += Math.exp(sharpness * (value - top));
    return new Map([...likeness].map(([name, value]) => [name, (top * Math.exp(sharpness * (value - top))) / total]));
  }
}

function keepHighest(values: number[], value: number): void {
  values.push(value);
  values.sort((a, b) => b - a);
  if (values.length > nearest) values.pop();
}
