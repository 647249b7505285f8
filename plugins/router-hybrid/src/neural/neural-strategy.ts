import { fitTemperature } from '../calibration/temperature.js';
import { type Features, noDense } from '../encoders/features.js';
import { type NgramVector, NgramVocabulary } from '../encoders/ngram-vocabulary.js';
import { defaultTraining, LinearClassifier, softmax, type TrainingSettings } from './linear-classifier.js';

/** A text with its sentence embedding, where an encoder is in use. */
export interface EncodedText {
  readonly text: string;
  readonly embedding?: Float32Array;
  /** Its n-grams by the strategy's own vocabulary, where they were read before. */
  readonly ngrams?: NgramVector;
}

export interface LabelledText extends EncodedText {
  /** The class; null is none of them. */
  readonly label: string | null;
}

/** Fewer texts of no class than this teach nothing about what lies outside. */
const minOutOfScope = 10;

/**
 * A trained classifier: n-grams and, where there is one, a sentence embedding, one linear layer over both, and a
 * temperature that makes its probabilities mean what they say. With texts of no class in training, "none" is one more
 * class, and what it gets is missing from the others' confidence.
 */
export class NeuralStrategy {
  constructor(
    /** The classes that texts are labelled with. */
    readonly labels: readonly string[],
    readonly vocabulary: NgramVocabulary,
    readonly classifier: LinearClassifier,
    readonly temperature: number,
  ) {}

  /** Whether "none of the labels" is a class of its own, the last one. */
  get knowsNone(): boolean {
    return this.classifier.weights.classes > this.labels.length;
  }

  /**
   * @param train rows to learn from
   * @param validation held-out rows of the same kind, for the temperature alone
   */
  static train(
    train: readonly LabelledText[],
    validation: readonly LabelledText[],
    settings: TrainingSettings = defaultTraining,
  ): NeuralStrategy {
    const labels = [...new Set(train.flatMap(({ label }) => (label === null ? [] : [label])))].sort();
    const indexOf = new Map<string | null, number>(labels.map((label, index) => [label, index]));
    if (train.filter(({ label }) => label === null).length >= minOutOfScope) indexOf.set(null, labels.length);
    const rows = train.filter(({ label }) => indexOf.has(label));
    const vocabulary = NgramVocabulary.of(rows.map(({ text }) => text));
    const examples = rows.map((row) => ({ features: featuresOf(vocabulary, row), label: indexOf.get(row.label)! }));
    const dense = rows[0]?.embedding?.length ?? 0;
    const sizes = { classes: indexOf.size, dense, rows: vocabulary.rows };
    const classifier = LinearClassifier.train(examples, sizes, settings);
    const held = validation.filter(({ label }) => indexOf.has(label));
    const temperature = fitTemperature(
      held.map((row) => classifier.logits(featuresOf(vocabulary, row))),
      held.map(({ label }) => indexOf.get(label)!),
    );
    return new NeuralStrategy(labels, vocabulary, classifier, temperature);
  }

  /** The probability of each label, in their order; they sum to at most 1, the rest is "none". */
  probabilities(text: EncodedText): Float32Array {
    const logits = this.classifier.logits(featuresOf(this.vocabulary, text));
    return softmax(logits, this.temperature).subarray(0, this.labels.length);
  }
}

function featuresOf(vocabulary: NgramVocabulary, { text, embedding, ngrams }: EncodedText): Features {
  const { buckets, weights } = ngrams ?? vocabulary.encode(text);
  return { dense: embedding ?? noDense, buckets, weights };
}
