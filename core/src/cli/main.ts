import { readFileSync } from 'node:fs';
import { Application, type ApplicationOptions } from '../application/application.js';
import { Secrets } from '../config/secrets.js';
import { Interrupts } from '../pipeline/interrupts.js';
import { kernelCommands } from './commands/index.js';
import { buildProgram, type GlobalOptions, runProgram, scanGlobalOptions } from './program.js';
import { painter, wantsColor } from './render/colors.js';
import { attachRenderer } from './render/events.js';
import { describeError, errorRecord, exitCodeOf } from './render/failure.js';
import { LiveRegion } from './render/live-region.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Words that are answered without a config: nothing of a project may keep help from being shown. */
const WITHOUT_CONFIG = new Set(['-V', '--version']);

/**
 * The command line program: boots the plugins that the config lists, builds the command tree from what they add, and runs
 * what was asked for. Returns the exit code; errors are printed with code, message and remedy.
 * @param secrets learns the config's secrets, which no output shows
 */
export async function main(argv: readonly string[], secrets = new Secrets()): Promise<number> {
  const { globals, words } = scanGlobalOptions(argv);
  const live = wantsLiveRegion(globals) ? new LiveRegion(process.stdout) : undefined;
  // What is logged goes above the lines that are drawn in place.
  const write = (text: string) => (live ? live.above(() => process.stderr.write(text)) : process.stderr.write(text));
  const interrupts = new Interrupts(process, () => {
    write('stopping: a checkpoint is written; Ctrl-C again stops at once\n');
  });
  const tell = (error: unknown) => report(error, argv, secrets);
  const boot = async (options: ApplicationOptions): Promise<Application> => {
    try {
      return await Application.boot(options);
    } catch (error) {
      if (!worksWithoutConfig(argv, words)) throw error;
      tell(error);
      process.stderr.write('  (shown without the config: with the plugins that are installed)\n');
      return Application.boot({ ...options, builtInOnly: true });
    }
  };
  let application: Application | undefined;
  const run = async (): Promise<number> => {
    if (argv.some((word) => WITHOUT_CONFIG.has(word))) {
      process.stdout.write(`${version}\n`);
      return 0;
    }
    application = await boot({
      // A config that lists few plugins, or is broken, must not keep a new one from being written.
      builtInOnly: words[0] === 'init',
      logTo: { write, isTTY: process.stderr.isTTY },
      secrets,
      file: globals.config,
      profile: globals.profile,
      set: globals.set,
      logFormat: globals.log,
      logLevel: globals.quiet ? 'error' : globals.logLevel,
      traceFile: globals.trace,
      color: wantsColor(process.stderr, process.env, globals.color),
      signal: interrupts.signal,
    });
    return execute(application, argv, globals, interrupts, live);
  };
  let exitCode = 0;
  const failed = (error: unknown) => {
    tell(error);
    exitCode ||= exitCodeOf(error);
  };
  try {
    exitCode = await run();
  } catch (error) {
    failed(error);
  }
  await application?.close().catch(failed);
  interrupts.dispose();
  return exitCode;
}

async function execute(
  application: Application,
  argv: readonly string[],
  globals: GlobalOptions,
  interrupts: Interrupts,
  live: LiveRegion | undefined,
): Promise<number> {
  let exitCode = 0;
  const detach = attachRenderer(application.events, globals, (text) => application.redact(text), live);
  const definitions = [...kernelCommands(() => program, interrupts.stop, version), ...application.commands];
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

/** Whether progress is drawn in place: where somebody watches and no program reads. */
function wantsLiveRegion({ log, quiet }: GlobalOptions): boolean {
  return process.stdout.isTTY === true && process.env.TERM !== 'dumb' && log !== 'json' && !quiet;
}

/** Whether a broken config must not keep the command line from being answered. */
function worksWithoutConfig(argv: readonly string[], words: readonly string[]): boolean {
  if (argv.some((word) => word === '-h' || word === '--help')) return true;
  return ['help', 'doctor', undefined].includes(words[0]);
}

/** Prints an error to standard error, in the form that the global flags ask for. */
export function report(error: unknown, argv: readonly string[], secrets: Secrets): void {
  const { globals } = scanGlobalOptions(argv);
  const paint = painter(wantsColor(process.stderr, process.env, globals.color));
  const text =
    globals.log === 'json'
      ? JSON.stringify(errorRecord(error, globals.debug))
      : describeError(error, { debug: globals.debug, paint });
  process.stderr.write(`${secrets.redact(text)}\n`);
}
