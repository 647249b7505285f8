import { readFileSync } from 'node:fs';
import { Application } from '../application/application.js';
import { Interrupts } from '../pipeline/interrupts.js';
import { kernelCommands } from './commands/index.js';
import { buildProgram, type GlobalOptions, runProgram, scanGlobalOptions } from './program.js';
import { painter, wantsColor } from './render/colors.js';
import { attachRenderer } from './render/events.js';
import { describeError, errorRecord, exitCodeOf } from './render/failure.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Words that are answered without a config: nothing of a project may keep help from being shown. */
const WITHOUT_CONFIG = new Set(['-V', '--version']);

/**
 * The command line program: boots the plugins that the config lists, builds the command tree from what they add, and runs
 * what was asked for. Returns the exit code; errors are printed with code, message and remedy.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const { globals } = scanGlobalOptions(argv);
  const interrupts = new Interrupts(process, () => {
    process.stderr.write('stopping: a checkpoint is written; Ctrl-C again stops at once\n');
  });
  let application: Application | undefined;
  try {
    if (argv.some((word) => WITHOUT_CONFIG.has(word))) {
      process.stdout.write(`${version}\n`);
      return 0;
    }
    application = await Application.boot({
      file: globals.config,
      profile: globals.profile,
      set: globals.set,
      logFormat: globals.log,
      logLevel: globals.quiet ? 'error' : globals.logLevel,
      traceFile: globals.trace,
      color: wantsColor(process.stderr, process.env, globals.color),
      signal: interrupts.signal,
    });
    return await execute(application, argv, globals, interrupts);
  } catch (error) {
    report(error, globals, application);
    return exitCodeOf(error);
  } finally {
    await application?.close().catch((error) => report(error, globals, application));
    interrupts.dispose();
  }
}

async function execute(
  application: Application,
  argv: readonly string[],
  globals: GlobalOptions,
  interrupts: Interrupts,
): Promise<number> {
  let exitCode = 0;
  const detach = attachRenderer(application.events, globals);
  const definitions = [...kernelCommands(() => program, interrupts.stop), ...application.commands];
  const program = buildProgram(
    definitions,
    version,
    async (definition, args) => (await definition.run(args, application.commandContext() as never)) ?? 0,
    (code) => {
      exitCode = code;
    },
  );
  try {
    return await runProgram(program, argv, () => exitCode);
  } finally {
    detach();
  }
}

function report(error: unknown, globals: GlobalOptions, application: Application | undefined): void {
  const redact = (text: string) => application?.redact(text) ?? text;
  const paint = painter(wantsColor(process.stderr, process.env, globals.color));
  const text =
    globals.log === 'json'
      ? JSON.stringify(errorRecord(error, globals.debug))
      : describeError(error, { debug: globals.debug, paint });
  process.stderr.write(`${redact(text)}\n`);
}
