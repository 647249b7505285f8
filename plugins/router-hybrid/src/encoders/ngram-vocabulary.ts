import { defaultNgrams, type NgramSettings, ngramCounts } from './hashed-ngrams.js';

/** A text as weighted rows of a vocabulary. */
export interface NgramVector {
  readonly buckets: Int32Array;
  readonly weights: Float32Array;
  /** Share of the text's weight that lies in n-grams the vocabulary has not seen, 0 to 1. */
  readonly unseen: number;
}

/**
 * The buckets that occur in a corpus, each with its row and its inverse document frequency. Vectors are
 * (1 + ln count) x idf over the known buckets, scaled to unit length (Salton and Buckley 1988).
 */
export class NgramVocabulary {
  private readonly rowOf: Int32Array;

  /**
   * @param buckets the bucket of each row
   * @param idf inverse document frequency of each row
   */
  constructor(
    readonly settings: NgramSettings,
    readonly buckets: Int32Array,
    readonly idf: Float32Array,
    /** Inverse document frequency of what was never seen. */
    readonly unseenIdf: number,
  ) {
    this.rowOf = new Int32Array(settings.buckets).fill(-1);
    for (let row = 0; row < buckets.length; row++) this.rowOf[buckets[row]!] = row;
  }

  get rows(): number {
    return this.buckets.length;
  }

  /** @param minDocuments buckets of fewer texts are left out */
  static of(texts: readonly string[], minDocuments = 2, settings: NgramSettings = defaultNgrams): NgramVocabulary {
    const documents = new Map<number, number>();
    for (const text of texts) {
      for (const bucket of ngramCounts(text, settings).keys()) documents.set(bucket, (documents.get(bucket) ?? 0) + 1);
    }
    const kept = [...documents].filter(([, count]) => count >= minDocuments).sort(([a], [b]) => a - b);
    const idf = (count: number) => Math.log((1 + texts.length) / (1 + count)) + 1;
    return new NgramVocabulary(
      settings,
      Int32Array.from(kept, ([bucket]) => bucket),
      Float32Array.from(kept, ([, count]) => idf(count)),
      idf(0),
    );
  }

  /** This vocabulary and the n-grams of more texts, which count as rare as what was never seen. */
  extendedBy(texts: readonly string[]): NgramVocabulary {
    const added = new Set<number>();
    for (const text of texts) {
      for (const bucket of ngramCounts(text, this.settings).keys()) if (this.rowOf[bucket]! < 0) added.add(bucket);
    }
    return new NgramVocabulary(
      this.settings,
      Int32Array.from([...this.buckets, ...added]),
      Float32Array.from([...this.idf, ...Array.from(added, () => this.unseenIdf)]),
      this.unseenIdf,
    );
  }

  encode(text: string): NgramVector {
    const counts = ngramCounts(text, this.settings);
    const buckets: number[] = [];
    const weights: number[] = [];
    let known = 0;
    let unknown = 0;
    for (const [bucket, count] of counts) {
      const row = this.rowOf[bucket]!;
      const weight = (1 + Math.log(count)) * (row < 0 ? this.unseenIdf : this.idf[row]!);
      if (row < 0) {
        unknown += weight * weight;
        continue;
      }
      known += weight * weight;
      buckets.push(row);
      weights.push(weight);
    }
    const scale = known > 0 ? 1 / Math.sqrt(known) : 0;
    return {
      buckets: Int32Array.from(buckets),
      weights: Float32Array.from(weights, (weight) => weight * scale),
      unseen: known + unknown > 0 ? unknown / (known + unknown) : 1,
    };
  }
}
