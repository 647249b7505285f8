import { defineErrors, didYouMean } from '@largeforge/core';

/** What can be wrong with a question about recorded runs. */
export const trackingErrors = defineErrors({
  LF_RUNS_UNKNOWN: {
    message: (a: { run: string; folder: string; known: readonly string[] }) =>
      `there is no run '${a.run}' in ${a.folder}${didYouMean(a.run, a.known)}`,
    remedy: () =>
      'give an id, or the beginning of one, or the name of a step for its last run: `largeforge runs` lists them',
  },
  LF_RUNS_AMBIGUOUS: {
    message: (a: { run: string; found: readonly string[] }) =>
      `several runs begin with '${a.run}': ${a.found.join(', ')}`,
    remedy: () => 'give more of the id',
  },
  LF_RUNS_FIGURE: {
    message: (a: { figure: string; known: readonly string[] }) =>
      `none of these runs has a figure '${a.figure}'${didYouMean(a.figure, a.known)}`,
    remedy: (a) =>
      a.known.length === 0 ? 'these runs ended before their first step' : `they have: ${a.known.join(', ')}`,
  },
});
