import { defineEngineErrors } from '../errors.js';

/** What can go wrong in scoring. */
export const scoringErrors = defineEngineErrors({
  SCORE_RANGE: {
    message: ({ index, from, length }: { index: number; from: number; length: number }) =>
      `sequence ${index} of ${length} tokens cannot be scored from token ${from} on`,
    remedy: () =>
      'the first scored token needs one before it and must lie within the sequence: put a BOS token in front',
  },
});
