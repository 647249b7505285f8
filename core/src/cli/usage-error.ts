import type { CommanderError } from 'commander';
import { defineErrors, type LargeForgeError } from '../kernel/errors.js';

/** The exit code of a command line that cannot be understood. */
export const usageExitCode = 2;

/** What is wrong with a command line. */
const usageErrors = defineErrors({
  LF_CLI_USAGE: {
    message: (a: { reason: string; command: string; unknownCommand: boolean }) => a.reason,
    remedy: (a) =>
      a.unknownCommand
        ? `\`${a.command} --help\` lists the commands. A config that lists plugins has only the commands of these.`
        : `\`${a.command} --help\` shows the arguments, the flags and examples.`,
    exitCode: usageExitCode,
  },
});

/**
 * What commander found wrong with a command line, as an error of the table.
 * @param command the words of the command that was being parsed, such as `largeforge train sft`
 */
export function usageError(cause: CommanderError, command: string): LargeForgeError {
  const [first = '', ...rest] = cause.message.split('\n');
  const suggestion = rest.map((line) => line.replace(/^\((.*)\)$/, '$1').replace(/you mean (\S+)\?/, 'you mean "$1"?'));
  const reason = [first.replace(/^error: /, '').replace(/(?<![.?])$/, rest.length > 0 ? '.' : ''), ...suggestion].join(
    ' ',
  );
  return usageErrors.LF_CLI_USAGE({ reason, command, unknownCommand: cause.code === 'commander.unknownCommand' });
}
