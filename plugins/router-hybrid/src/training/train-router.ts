import { calibrationError } from '../calibration/temperature.js';
import { chooseThreshold, defaultRecall, type ScoredRow } from '../calibration/threshold.js';
import type { SentenceEncoder } from '../encoders/sentence-encoder.js';
import { routerErrors } from '../errors.js';
import { fitPool, pool } from '../hybrid/pool.js';
import { KeywordStrategy } from '../keywords/keyword-strategy.js';
import { learnKeywords } from '../keywords/learn.js';
import { defaultTraining, type TrainingSettings } from '../neural/linear-classifier.js';
import { type LabelledText, NeuralStrategy } from '../neural/neural-strategy.js';
import type { TrainedRouter } from '../router/trained-router.js';
import type { RoutedText } from './rows.js';

export interface RouterTraining {
  readonly train: readonly RoutedText[];
  /** Held-out rows: temperature, pool and thresholds are chosen on them. */
  readonly validation: readonly RoutedText[];
  readonly encoder?: { readonly path: string; readonly model: SentenceEncoder };
  /** Of the validation rows of no expert, the share that thresholds turn away; 0.8 unless given. */
  readonly outOfScopeRecall?: number;
  readonly settings?: Partial<TrainingSettings>;
  readonly onProgress?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** How the classifier's confidence agrees with its accuracy on the validation rows. */
export interface Calibration {
  readonly temperature: number;
  readonly expectedCalibrationError: number;
}

/**
 * Trains the classifier, learns keywords, and fits what joins them. Throws LF_ROUTER_TRAINING_ROWS when there is nothing
 * to tell apart.
 */
export async function trainRouter(
  training: RouterTraining,
): Promise<{ router: TrainedRouter; calibration: Calibration }> {
  const { encoder, onProgress, signal, outOfScopeRecall: recall = defaultRecall } = training;
  const experts = new Set(training.train.flatMap(({ expert }) => (expert === null ? [] : [expert])));
  if (experts.size < 2) {
    const reason = experts.size === 0 ? 'no row names an expert' : `all name the expert "${[...experts][0]}"`;
    throw routerErrors.LF_ROUTER_TRAINING_ROWS({ reason });
  }
  const encode = (rows: readonly RoutedText[], what: string) =>
    labelled(rows, encoder?.model, (done) => onProgress?.(`${what}: ${done} of ${rows.length} texts encoded`), signal);
  const train = await encode(training.train, 'training rows');
  const validation = await encode(training.validation, 'validation rows');
  const neural = NeuralStrategy.train(train, validation, {
    ...defaultTraining,
    ...training.settings,
    ...(signal && { signal }),
    onEpoch: (epoch, loss) => onProgress?.(`epoch ${epoch}: loss ${loss.toFixed(4)}`),
  });
  const keywords = learnKeywords(train);
  const rules = new KeywordStrategy(keywords);
  const opinions = validation.map((row) => {
    const probabilities = neural.probabilities(row);
    return {
      label: row.label,
      neural: new Map(neural.labels.map((label, i) => [label, probabilities[i]!])),
      keyword: rules.score(row.text).confidences,
    };
  });
  const scored = (opinion: (index: number) => ReadonlyMap<string, number>): ScoredRow[] =>
    validation.map(({ label }, i) => scoredRow(opinion(i), label));
  const neuralRows = scored((i) => opinions[i]!.neural);
  const calibration = {
    temperature: neural.temperature,
    expectedCalibrationError: calibrationError(neuralRows.filter(({ outOfScope }) => !outOfScope)),
  };
  const weights = fitPool(opinions);
  const router: TrainedRouter = {
    neural,
    keywords,
    pool: weights,
    thresholds: {
      neural: chooseThreshold(neuralRows, recall).threshold,
      keyword: chooseThreshold(
        scored((i) => opinions[i]!.keyword),
        recall,
      ).threshold,
      hybrid: chooseThreshold(
        scored((i) => pool(opinions[i]!.neural, opinions[i]!.keyword, weights)),
        recall,
      ).threshold,
    },
    ...(encoder && { encoder: { path: encoder.path, size: encoder.model.size } }),
  };
  return { router, calibration };
}

const batch = 64;

async function labelled(
  rows: readonly RoutedText[],
  encoder: SentenceEncoder | undefined,
  progress: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<LabelledText[]> {
  if (!encoder) return rows.map(({ text, expert }) => ({ text, label: expert }));
  const result: LabelledText[] = [];
  for (let i = 0; i < rows.length; i += batch) {
    signal?.throwIfAborted();
    const part = rows.slice(i, i + batch);
    const embeddings = await encoder.encode(part.map(({ text }) => text));
    result.push(...part.map(({ text, expert }, j) => ({ text, label: expert, embedding: embeddings[j]! })));
    if ((i / batch) % 20 === 0) progress(result.length);
  }
  return result;
}

function scoredRow(opinion: ReadonlyMap<string, number>, label: string | null): ScoredRow {
  let best: string | undefined;
  let confidence = 0;
  for (const [name, value] of opinion) if (value > confidence) [best, confidence] = [name, value];
  return { confidence, correct: best === label, outOfScope: label === null };
}
