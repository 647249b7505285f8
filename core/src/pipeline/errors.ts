import { defineErrors } from '../kernel/errors.js';
import { didYouMean } from '../kernel/nearest.js';

const at = (where: string | undefined) => (where ? `${where}: ` : '');

export const pipelineErrors = defineErrors({
  PIPELINE_EMPTY: {
    message: (a: { file: string }) => `${a.file} has no pipeline`,
    remedy: () => 'Add steps under pipeline:, or use a command such as `largeforge train sft`.',
    exitCode: 2,
  },
  PIPELINE_REFERENCE: {
    message: (a: { where?: string; path: string; reference: string; reason: string }) =>
      `${at(a.where)}${a.path}: ${a.reference}: ${a.reason}`,
    remedy: () => 'A reference looks like ${steps.<name>.<output>} and names an earlier step.',
    exitCode: 2,
  },
  PIPELINE_FROM: {
    message: (a: { name: string; known: string[] }) => `there is no step "${a.name}".${didYouMean(a.name, a.known)}`,
    remedy: (a) => `Steps: ${a.known.join(', ')}.`,
    exitCode: 2,
  },
  STEP_REFUSED: {
    message: (a: { step: string; hook: string; reason: string; remedy?: string }) =>
      `step "${a.step}" was stopped by ${a.hook}: ${a.reason}`,
    remedy: (a) => a.remedy ?? 'Earlier results are kept. Change what the gate complains of, then run again.',
    exitCode: 3,
  },
  STEP_INPUT: {
    message: (a: { step: string; path: string }) => `step "${a.step}": there is no file or folder ${a.path}`,
    remedy: () => 'Check the path: relative ones start from the folder of the config file.',
    exitCode: 2,
  },
  RUN_ABORTED: {
    message: (a: { step: string }) => `stopped during step "${a.step}"`,
    remedy: () => 'Run the same command again to go on; finished steps are not repeated.',
    exitCode: 130,
  },
});
