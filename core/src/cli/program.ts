import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { collect } from './arguments.js';
import type { CommandArgument, CommandArguments, CommandDefinition, CommandOption } from './command.js';
import { usageError, usageExitCode } from './usage-error.js';

/** Flags that every command understands. */
export interface GlobalOptions {
  readonly config?: string;
  readonly profile?: string;
  /** `a.b=c` pairs, in order. */
  readonly set: readonly string[];
  readonly log?: 'auto' | 'pretty' | 'json';
  readonly logLevel?: string;
  readonly trace?: string;
  readonly debug: boolean;
  readonly color: boolean;
  readonly quiet: boolean;
}

const globalFlags: readonly CommandOption[] = [
  { flags: '-c, --config <file>', description: 'config file (default: largeforge.config.* in this folder or above)' },
  { flags: '--profile <name>', description: 'apply a profile of the config' },
  { flags: '--set <path=value>', description: 'override a config value; may be repeated', parse: collect },
  { flags: '--log <format>', description: 'what to print', choices: ['auto', 'pretty', 'json'] },
  {
    flags: '--log-level <level>',
    description: 'least important messages to print',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
  },
  { flags: '--trace <file>', description: 'write a trace of the run (Chrome trace format)' },
  { flags: '--debug', description: 'show the causes of errors, with stacks' },
  { flags: '--no-color', description: 'print without colours' },
  { flags: '-q, --quiet', description: 'print errors and results only' },
];

/** Names of the global options as commander stores them. */
export function readGlobalOptions(values: Readonly<Record<string, unknown>>): GlobalOptions {
  const { config, profile, set = [], log, logLevel, trace, debug = false, color = true, quiet = false } = values;
  return { config, profile, set, log, logLevel, trace, debug, color, quiet } as GlobalOptions;
}

/**
 * The global flags of a command line, wherever they stand in it; they decide which plugins, and so which commands, there
 * are. What is wrong with them is left to the full parse to say.
 */
export function scanGlobalOptions(argv: readonly string[]): { globals: GlobalOptions; words: readonly string[] } {
  const scan = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  for (const flag of globalFlags) scan.addOption(commanderOption(flag));
  try {
    const { operands, unknown } = scan.parseOptions([...argv]);
    return { globals: readGlobalOptions(scan.opts()), words: [...operands, ...unknown] };
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { globals: readGlobalOptions({}), words: argv.filter((word) => !word.startsWith('-')) };
  }
}

/** Runs a command that was parsed; resolves with the exit code. */
export type Execute = (
  definition: CommandDefinition<never>,
  args: CommandArguments,
  globals: GlobalOptions,
) => Promise<number>;

/**
 * The command tree: groups for the leading words of names, a command for each definition.
 * @param execute called by the action of the command that was chosen
 * @param onExit gets its result
 */
export function buildProgram(
  definitions: readonly CommandDefinition<never>[],
  version: string,
  execute: Execute,
  onExit: (code: number) => void,
): Command {
  const program = new Command('largeforge')
    .description('From a base model and some data to specialised models in production.')
    .version(version, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'show the help of a command')
    .showSuggestionAfterError(true);
  reportAsTableError(program);
  for (const flag of globalFlags) program.addOption(commanderOption(flag));
  for (const definition of [...definitions].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const words = definition.name.split(' ');
    const name = words.pop()!;
    const parent = words.reduce((group, word) => findGroup(group, word, definitions), program);
    addCommand(parent, name, definition, execute, onExit);
  }
  return program;
}

function findGroup(parent: Command, word: string, definitions: readonly CommandDefinition<never>[]): Command {
  const existing = parent.commands.find((command) => command.name() === word);
  if (existing) return existing;
  const members = definitions.filter(({ name }) => name.startsWith(`${word} `)).map(({ name }) => name.split(' ')[1]);
  const group = inherit(new Command(word)).description(`${word}: ${[...new Set(members)].sort().join(', ')}`);
  parent.addCommand(group);
  return group;
}

/** What commander copies only to commands made by `.command()`. */
function inherit(command: Command): Command {
  return reportAsTableError(command.showSuggestionAfterError(true));
}

/** Makes commander's complaints errors of the table, which name the command whose help says more. */
function reportAsTableError(command: Command): Command {
  return command.configureOutput({ outputError: () => {} }).exitOverride((error) => {
    if (error.exitCode === 0 || error.code === 'commander.help') throw error;
    throw usageError(error, wordsOf(command));
  });
}

/** `largeforge train sft`. */
function wordsOf(command: Command): string {
  return command.parent ? `${wordsOf(command.parent)} ${command.name()}` : command.name();
}

function addCommand(
  parent: Command,
  name: string,
  definition: CommandDefinition<never>,
  execute: Execute,
  onExit: (code: number) => void,
): void {
  const command = inherit(new Command(name))
    .summary(definition.summary)
    .description(definition.description ?? definition.summary);
  for (const argument of definition.arguments ?? []) command.addArgument(commanderArgument(argument));
  const keys = new Map<string, string>();
  for (const flag of definition.options ?? []) {
    const option = commanderOption(flag);
    command.addOption(option);
    const global = globalFlags.map(commanderOption).find((other) => sharesFlag(option, other));
    if (global) throw new Error(`command ${definition.name}: ${flag.flags} hides the global flag ${global.flags}`);
    if (flag.key) keys.set(option.attributeName(), flag.key);
  }
  const examples = definition.examples ?? [];
  if (examples.length > 0) {
    command.addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
  }
  command.action(async () => {
    const options: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(command.opts())) options[keys.get(name) ?? name] = value;
    const globals = readGlobalOptions(command.optsWithGlobals());
    onExit(await execute(definition, { options, positionals: command.processedArgs }, globals));
  });
  command.addHelpText('after', '\nGlobal flags: see largeforge --help');
  parent.addCommand(command);
}

function sharesFlag(a: Option, b: Option): boolean {
  return (a.long !== undefined && a.long === b.long) || (a.short !== undefined && a.short === b.short);
}

function commanderOption(definition: CommandOption): Option {
  const option = new Option(definition.flags, definition.description);
  if (definition.default !== undefined) option.default(definition.default);
  if (definition.choices) option.choices([...definition.choices]);
  if (definition.required) option.makeOptionMandatory();
  const { parse } = definition;
  if (parse) option.argParser((text, previous) => orUsageError(() => parse(text, previous)));
  return option;
}

function commanderArgument(definition: CommandArgument): Argument {
  const argument = new Argument(definition.name, definition.description);
  if (definition.default !== undefined) argument.default(definition.default);
  if (definition.choices) argument.choices([...definition.choices]);
  return argument;
}

function orUsageError<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/**
 * Parses a command line and runs what it names. A command line that is wrong is an error of the table.
 * @returns the exit code: the command's own, 0 after help and version, 2 for a group without its command
 */
export async function runProgram(program: Command, argv: readonly string[], exitCode: () => number): Promise<number> {
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has printed the help already.
    return error.exitCode === 0 ? 0 : usageExitCode;
  }
}
