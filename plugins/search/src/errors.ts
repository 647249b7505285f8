import { defineErrors } from '@largeforge/core';

/** What can be wrong with a search. */
export const searchErrors = defineErrors({
  LF_SEARCH_OPTIONS: {
    message: (a: { trainer: string; parameters: string; path: string; reason: string }) =>
      `${a.trainer} cannot be run with ${a.parameters}: ${a.path === '' ? '' : `${a.path}: `}${a.reason}`,
    remedy: () => "mend the search's `parameters` or `with`; `largeforge schema` describes the trainer's options",
  },
  LF_SEARCH_NESTED: {
    message: () => 'a search cannot be what a search runs',
    remedy: () => 'put the parameters of both into one search',
  },
  LF_SEARCH_METRIC: {
    message: (a: { metric: string; known: readonly string[] }) =>
      `the trials tell no figure '${a.metric}'; they have: ${a.known.join(', ') || 'none'}`,
    remedy: () => 'hold rows out (evalSplit or evalDataset), or choose one of these as `metric`',
  },
  LF_SEARCH_FAILED: {
    message: (a: { trials: number; reason: string }) => `none of ${a.trials} trials ended: the first said: ${a.reason}`,
    remedy: () => 'mend what it names, or search elsewhere',
  },
});
