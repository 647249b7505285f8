import type { KeywordRule } from '../keywords/keyword-strategy.js';

/** What the router knows of an expert. */
export interface Expert {
  readonly name: string;
  /** In words; the zero-shot strategy compares queries with it. */
  readonly description?: string;
  /** Subjects; those that are classes of a trained router send their queries here. */
  readonly domains?: readonly string[];
  /** Queries that this expert should get. */
  readonly examples?: readonly string[];
  readonly keywords?: readonly KeywordRule[];
  /** Confidence from which it is chosen, instead of the router's own. */
  readonly threshold?: number;
}

/** How busy an expert is. */
export interface ExpertLoad {
  /** Running requests over capacity: 0 is idle, 1 is full. */
  readonly load: number;
  /** The load with one request more; the load and 1 when absent. */
  readonly next?: number;
  /** Recent time of an answer in milliseconds, where known. */
  readonly latencyMs?: number;
  /** Of its tokens, in any unit. */
  readonly cost?: number;
  /** Grows with the time at which it was asked last. */
  readonly lastAsked?: number;
}
