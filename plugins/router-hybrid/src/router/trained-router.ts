import type { PoolWeights } from '../hybrid/pool.js';
import type { KeywordRule } from '../keywords/keyword-strategy.js';
import type { NeuralStrategy } from '../neural/neural-strategy.js';

export const strategyNames = ['keyword', 'neural', 'zero-shot', 'hybrid'] as const;
export type StrategyName = (typeof strategyNames)[number];

/** What training makes: everything that decisions need but the sentence encoder's own weights. */
export interface TrainedRouter {
  readonly neural: NeuralStrategy;
  /** Learned keyword rules by class. */
  readonly keywords: ReadonlyMap<string, readonly KeywordRule[]>;
  readonly pool: PoolWeights;
  /** Confidence below which a query is out of scope, chosen on validation rows. */
  readonly thresholds: Readonly<Partial<Record<StrategyName, number>>>;
  /** The sentence encoder that the classifier was trained on; absent for the built-in n-grams alone. */
  readonly encoder?: { readonly path: string; readonly size: number };
}
