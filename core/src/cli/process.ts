import { Secrets } from '../config/secrets.js';
import { main, report } from './main.js';
import { exitCodeOf } from './render/failure.js';

/** What a process that has lost its reader ends with, as if SIGPIPE had ended it. */
const brokenPipeExitCode = 141;

/**
 * The command line program as a process: what `main` does, and the errors that reach nobody else. Those that are thrown
 * where nobody waits (a plugin's timer) are told like any other, without a stack, and end the process; a reader that goes
 * away (`| head`) ends it without a word.
 */
export async function runProcess(process: NodeJS.Process): Promise<void> {
  const argv = process.argv.slice(2);
  const secrets = new Secrets();
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(brokenPipeExitCode);
      throw error;
    });
  }
  process.on('uncaughtException', (error: unknown) => {
    report(error, argv, secrets);
    process.exit(exitCodeOf(error) || 1);
  });
  process.exitCode = await main(argv, secrets);
}
