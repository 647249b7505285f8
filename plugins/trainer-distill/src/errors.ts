import { defineErrors } from '@largeforge/core';

/** What can be wrong with a distillation. */
export const distillErrors = defineErrors({
  LF_DISTILL_VOCABULARY: {
    message: (a: { student: string; teacher: string; reason: string }) =>
      `the student '${a.student}' and the teacher '${a.teacher}' have different vocabularies: ${a.reason}`,
    remedy: () =>
      'logits can only be compared token by token: choose a teacher of the same family; set vocabulary: align where the same ' +
      'tokens only have other numbers; or let it write the rows (largeforge complete) and train on them with sft',
  },
  LF_DISTILL_FEATURES: {
    message: (a: { whose: string; layer: number; layers: number }) =>
      `features.layers: the ${a.whose} has no layer ${a.layer}, only 1 to ${a.layers}`,
    remedy: () => "give pairs [layer of the student, layer of the teacher], or 'even'",
  },
  LF_DISTILL_SERVER: {
    message: (a: { url: string; reason: string }) => `the teacher at ${a.url} does not answer: ${a.reason}`,
    remedy: () => 'look whether the server runs, serves `teacherModel` and takes `teacherApiKey`',
  },
  LF_DISTILL_SERVER_LOGPROBS: {
    message: ({ url }: { url: string }) => `the teacher at ${url} gives no log-probabilities`,
    remedy: () => 'its /completions must take prompts of token ids and give logprobs, as largeforge serve and vLLM do',
  },
  LF_DISTILL_SERVER_TOKEN: {
    message: (a: { url: string; token: string }) =>
      `the teacher at ${a.url} names a token ${JSON.stringify(a.token)} that the student does not have`,
    remedy: () => 'a teacher behind a server must have the vocabulary of the student',
  },
});
