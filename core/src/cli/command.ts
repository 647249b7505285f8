/** A flag of a command, in commander's notation. */
export interface CommandOption {
  /** `--lora-r <rank>`, `-m, --model <path>`, `--yes`, `--no-stream`; `<value...>` takes several. */
  readonly flags: string;
  readonly description: string;
  /** Name in `args.options`; from the flag when absent (`--lora-r` is `loraR`). */
  readonly key?: string;
  /** Value when the flag is not given; the help shows it. */
  readonly default?: unknown;
  readonly choices?: readonly string[];
  readonly required?: boolean;
  /** Turns the text into the value; what it throws is shown as a usage error that names the flag. */
  readonly parse?: (text: string, previous: unknown) => unknown;
}

/** A positional argument. */
export interface CommandArgument {
  /** `<file>` is required, `[file]` is not, `[files...]` takes the rest. */
  readonly name: string;
  readonly description: string;
  readonly default?: unknown;
  readonly choices?: readonly string[];
}

export interface CommandArguments {
  /** By key; a flag that was not given and has no default is absent. */
  readonly options: Readonly<Record<string, unknown>>;
  /** In order; a rest argument is an array. */
  readonly positionals: readonly unknown[];
}

/**
 * A command that a plugin adds to the command line.
 * @typeParam Context what the command gets to work with; the kernel's CommandContext
 */
export interface CommandDefinition<Context = unknown> {
  /** Words of the command: `train sft` is the command `sft` in the group `train`. */
  readonly name: string;
  readonly summary: string;
  readonly description?: string;
  /** Lines to paste, shown under the help. */
  readonly examples?: readonly string[];
  readonly arguments?: readonly CommandArgument[];
  readonly options?: readonly CommandOption[];
  /** The exit code; none is 0. What it throws is shown by code, message and remedy. */
  run(args: CommandArguments, context: Context): Promise<number | undefined> | Promise<void>;
}
