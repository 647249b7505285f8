import { defineErrors } from '@largeforge/core';

/** What can be wrong with a distillation. */
export const distillErrors = defineErrors({
  LF_DISTILL_VOCABULARY: {
    message: (a: { student: string; teacher: string; reason: string }) =>
      `the student '${a.student}' and the teacher '${a.teacher}' have different vocabularies: ${a.reason}`,
    remedy: () =>
      'logits can only be compared token by token: choose a teacher of the same family, or let it write the rows ' +
      '(largeforge complete) and train on them with sft',
  },
});
