import { defineErrors } from '../kernel/errors.js';
import { didYouMean } from '../kernel/nearest.js';

const at = (where: string | undefined) => (where ? `${where}: ` : '');

/** Everything that can go wrong with a run of steps. */
export const pipelineErrors = defineErrors({
  LF_PIPELINE_EMPTY: {
    message: (a: { file: string }) => `${a.file} has no pipeline`,
    remedy: () => 'Add steps under pipeline:, or use a command such as `largeforge train sft`.',
    exitCode: 2,
  },
  LF_PIPELINE_REFERENCE: {
    message: (a: { where?: string; path: string; reference: string; reason: string }) =>
      `${at(a.where)}${a.path}: ${a.reference}: ${a.reason}`,
    remedy: () => 'A reference looks like ${steps.<name>.<output>} and names an earlier step.',
    exitCode: 2,
  },
  LF_PIPELINE_FROM: {
    message: (a: { name: string; known: readonly string[] }) =>
      `--from: there is no step "${a.name}".${didYouMean(a.name, a.known)}`,
    remedy: (a) => `Steps: ${a.known.join(', ')}.`,
    exitCode: 2,
  },
  LF_PIPELINE_FROM_UNFINISHED: {
    message: (a: { from: string; step: string }) =>
      `--from ${a.from}: step "${a.step}" comes earlier and has no results to go on from`,
    remedy: (a) => `Run without --from: finished steps are skipped anyhow; or --from ${a.step}.`,
    exitCode: 2,
  },
  LF_STEP_REFUSED: {
    message: (a: { step: string; hook: string; plugin: string; reason: string; remedy?: string }) =>
      `step "${a.step}" was stopped by ${a.hook} [plugin ${a.plugin}]: ${a.reason}`,
    remedy: (a) => a.remedy ?? 'Change what the gate complains of, then run again: earlier results are kept.',
    exitCode: 3,
  },
  LF_STEP_FAILED: {
    message: (a: { plugin: string; reason: string }) => `[plugin ${a.plugin}] ${a.reason}`,
    remedy: () => '--debug shows the cause.',
  },
  LF_STEP_OUTPUT: {
    message: (a: { plugin: string; reason: string }) => `[plugin ${a.plugin}] the outputs ${a.reason}`,
    remedy: (a) => `The fault is in ${a.plugin}: run() returns a record of plain JSON values.`,
  },
  LF_STEP_INPUT_MISSING: {
    message: (a: { path: string }) => `there is no ${a.path}, which the step reads`,
    remedy: () => 'Correct the path: relative ones start at the folder of the config file, or where the command runs.',
    exitCode: 2,
  },
  LF_OUTPUT_UNWRITABLE: {
    message: (a: { path: string; reason: string }) => `nothing can be written to ${a.path}: ${a.reason}`,
    remedy: () => 'Name another folder (outputDir; runDir for what the pipeline keeps), or correct its permissions.',
    exitCode: 2,
  },
  LF_PIPELINE_INTERRUPTED: {
    message: (a: { step: string; begun: boolean }) =>
      a.begun ? `interrupted during step "${a.step}"` : `interrupted before step "${a.step}"`,
    remedy: () =>
      'Run the same command again to go on: finished steps are not repeated, a training continues from its checkpoint.',
    exitCode: 130,
  },
  LF_PIPELINE_STOPPED: {
    message: (a: { step: string; pending: readonly string[] }) =>
      `stopped during step "${a.step}" without waiting for it${a.pending.length > 0 ? ` (busy: ${a.pending.join(', ')})` : ''}`,
    remedy: () => 'Run the same command again to go on from the last checkpoint that was written.',
    exitCode: 130,
  },
});

/** What a step that was refused or failed leaves behind, in words. */
export function continuation(finished: readonly string[]): string {
  if (finished.length === 0) return '';
  return `\nThen run the same command again: finished steps (${finished.join(', ')}) are not repeated.`;
}
