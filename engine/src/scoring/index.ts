export { type ScoreRun, type ScorerOptions, SequenceScorer } from './scorer.js';
export type { ScoredSequence, SequenceScore } from './sequence.js';
