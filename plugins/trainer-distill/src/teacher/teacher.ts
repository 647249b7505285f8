import {
  type CausalLanguageModel,
  ops,
  type RowRange,
  scope,
  type Tensor,
  type TokenBatch,
  withoutTape,
} from '@largeforge/engine';
import type { Alignment } from './alignment.js';

/** What a teacher says of a batch: its logits where the batch has targets, a range of them at a time. */
export interface TeacherAnswers {
  /** Logits [count, V] of some targets, counted in the order of their positions; recorded when it is called. */
  logits(rows: RowRange): Tensor;
  /** Hidden states [N, hiddenSize] at the targets, of the layers that were asked for. */
  readonly states: readonly Tensor[];
}

/**
 * Where a student's targets come from.
 * @typeParam Batch what it must know of a batch
 */
export interface Teacher<Batch extends TokenBatch> {
  /** Of each target; further tokens of the student take no part. */
  readonly vocabSize: number;
  /**
   * Makes -infinity of the student's logits f32 [R, vocabSize] of tokens that the teacher does not have, so that the two are
   * compared over what both have; absent where the teacher has them all.
   */
  restrict?(student: Tensor): void;
  /**
   * Records what the teacher does for a whole batch.
   * @param targets i32 [N] on the device: the positions that have a label
   * @param layers whose hidden states are wanted, as `hiddenStates` of a model counts them
   */
  answer(batch: Batch, targets: Tensor, layers?: readonly number[]): TeacherAnswers;
}

/** A model in this process, which is only asked. */
export function modelTeacher(model: CausalLanguageModel, alignment?: Alignment): Teacher<TokenBatch> {
  return {
    vocabSize: alignment?.vocabSize ?? model.config.vocabSize,
    ...(alignment && { restrict: (student) => alignment.restrict(student) }),
    answer(batch, targets, layers = []) {
      const { last, states } = withoutTape(() =>
        scope(() => {
          const seen = alignment ? { ...batch, tokens: alignment.tokensOf(batch.tokens) } : batch;
          const hidden = model.hiddenStates(seen, layers);
          const atTargets = (state: Tensor) => ops.gatherRows(state, targets);
          return { last: atTargets(hidden.last), states: hidden.layers.map(atTargets) };
        }),
      );
      const logitsOf = (rows: Tensor) => (alignment ? alignment.logits(rows) : model.logits(rows));
      return { logits: ({ from, count }) => withoutTape(() => logitsOf(last.narrow(0, from, count))), states };
    },
  };
}
