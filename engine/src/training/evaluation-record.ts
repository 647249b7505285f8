import type { RunState } from './checkpoint/run-state.js';
import { trainingErrors } from './errors.js';
import type { EvaluationOptions } from './options.js';

type Evaluation = RunState['evaluations'][number];

/**
 * Enters an evaluation into a run's state; true when it is the best so far. As in transformers, the patience counts
 * evaluations since one that was better by more than `minImprovement`.
 * @throws LF_ENGINE_TRAIN_NO_METRIC
 */
export function recordEvaluation(
  state: RunState,
  evaluation: Evaluation,
  { metric, goal, minImprovement }: EvaluationOptions,
): boolean {
  const scoreOf = ({ metrics }: Evaluation) => (metrics[metric] as number) * (goal === 'higher' ? -1 : 1);
  if (evaluation.metrics[metric] === undefined) {
    throw trainingErrors.TRAIN_NO_METRIC({ metric, known: Object.keys(evaluation.metrics) });
  }
  state.evaluations.push(evaluation);
  // What the run starts from is there to be compared with; it is no candidate for the best weights.
  if (state.step === 0) return false;
  const gain = state.best === null ? Number.POSITIVE_INFINITY : scoreOf(state.best) - scoreOf(evaluation);
  state.sinceBest = gain > minImprovement ? 0 : state.sinceBest + 1;
  if (gain > 0) state.best = evaluation;
  return gain > 0;
}
