import {
  type CausalLanguageModel,
  ops,
  type RowRange,
  scope,
  type Tensor,
  type TokenBatch,
  withoutTape,
} from '@largeforge/engine';

/** What a teacher says of a batch: its logits where the batch has targets, a range of them at a time. */
export interface TeacherAnswers {
  /** Logits [count, V] of some targets, counted in the order of their positions; recorded when it is called. */
  logits(rows: RowRange): Tensor;
}

/**
 * Where a student's targets come from.
 * @typeParam Batch what it must know of a batch
 */
export interface Teacher<Batch extends TokenBatch> {
  /** Of each target; further tokens of the student are as good as impossible. */
  readonly vocabSize: number;
  /**
   * Records what the teacher does for a whole batch.
   * @param targets i32 [N] on the device: the positions that have a label
   */
  answer(batch: Batch, targets: Tensor): TeacherAnswers;
}

/** A model in this process, which is only asked. */
export function modelTeacher(model: CausalLanguageModel): Teacher<TokenBatch> {
  return {
    vocabSize: model.config.vocabSize,
    answer(batch, targets) {
      const hidden = withoutTape(() => scope(() => ops.gatherRows(model.hidden(batch), targets)));
      return { logits: ({ from, count }) => withoutTape(() => model.logits(hidden.narrow(0, from, count))) };
    },
  };
}
