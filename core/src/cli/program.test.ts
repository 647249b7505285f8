import { describe, expect, it, vi } from 'vitest';
import { isLargeForgeError } from '../kernel/errors.js';
import { collect, integerBetween, numberBetween } from './arguments.js';
import type { CommandArguments, CommandDefinition } from './command.js';
import { buildProgram, type GlobalOptions, runProgram, scanGlobalOptions } from './program.js';

const nothing = async () => {};

const definitions: CommandDefinition<never>[] = [
  {
    name: 'train sft',
    summary: 'Fine-tune a model',
    examples: ['largeforge train sft --model base'],
    options: [
      { flags: '--model <path>', description: 'base model', required: true },
      { flags: '--lora-r <rank>', description: 'rank', key: 'rank', parse: integerBetween(1, 1024) },
      { flags: '--learning-rate <lr>', description: 'rate', default: 2e-4, parse: numberBetween(0, 1) },
      { flags: '--target <module>', description: 'module', parse: collect },
    ],
    run: nothing,
  },
  { name: 'train dpo', summary: 'Align a model', run: nothing },
  {
    name: 'inspect',
    summary: 'Show what is there',
    arguments: [{ name: '[what]', description: 'which part', choices: ['config', 'hooks'] }],
    run: nothing,
  },
];

/** Parses a line; returns what ran with what, the exit code and what was printed. */
async function parse(line: string, commands = definitions) {
  const ran: { name: string; args: CommandArguments; globals: GlobalOptions }[] = [];
  let printed = '';
  const write = (text: unknown) => {
    printed += String(text);
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(write),
    vi.spyOn(process.stderr, 'write').mockImplementation(write),
  ];
  let result = -1;
  const execute = async (definition: CommandDefinition<never>, args: CommandArguments, globals: GlobalOptions) => {
    ran.push({ name: definition.name, args, globals });
    return 0;
  };
  try {
    const program = buildProgram(commands, '9.9.9', execute, (code) => {
      result = code;
    });
    const code = await runProgram(program, line.split(' ').filter(Boolean), () => result);
    return { code, printed, ran: ran[0] };
  } catch (error) {
    if (!isLargeForgeError(error)) throw error;
    const { code, message, remedy, exitCode } = error;
    return { code: exitCode, printed: `${printed}${code}: ${message}\n${remedy}`, ran: ran[0] };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

describe('the command line', () => {
  it('runs commands of two words, with parsed and renamed options', async () => {
    const { ran, code } = await parse('train sft --model base --lora-r 8 --target q --target v');
    expect(code).toBe(0);
    expect(ran!.name).toBe('train sft');
    expect(ran!.args.options).toEqual({ model: 'base', rank: 8, learningRate: 2e-4, target: ['q', 'v'] });
  });

  it('reads global flags before and after the command', async () => {
    const before = await parse('--debug --set a=1 --no-color inspect config');
    const after = await parse('inspect config --debug --set a=1 --no-color');
    expect(before.ran).toEqual(after.ran);
    expect(after.ran!.globals).toMatchObject({ debug: true, set: ['a=1'], color: false, quiet: false });
    expect(after.ran!.args.positionals).toEqual(['config']);
    const mixed = await parse('--set a=1 inspect --set b=2');
    expect(mixed.ran!.globals.set).toEqual(['a=1', 'b=2']);
  });

  it.each([
    [
      'trian sft',
      'LF_CLI_USAGE: unknown command \'trian\'. Did you mean "train"?\n`largeforge --help` lists the commands',
    ],
    ['train stf', 'Did you mean "sft"?\n`largeforge train --help`'],
    ['train sft --model m --lora-rr 8', 'Did you mean "--lora-r"?\n`largeforge train sft --help` shows the arguments'],
    ['train sft', "required option '--model <path>' not specified"],
    ['train sft --model m --lora-r many', 'expected a whole number, found "many"'],
    ['train sft --model m --lora-r 0', 'expected a number from 1 to 1024, found 0'],
    ['inspect everything', 'Allowed choices are config, hooks'],
    ['inspect config hooks', 'too many arguments'],
    ['--log xml inspect', 'Allowed choices are auto, pretty, json'],
    ['train', 'Usage: largeforge train'],
  ])('refuses "%s" with exit code 2 and says what is meant', async (line, message) => {
    const { code, printed, ran } = await parse(line);
    expect(ran).toBeUndefined();
    expect(code).toBe(2);
    expect(printed).toContain(message);
    expect(printed).not.toContain('    at ');
  });

  it('prints help with examples, and the version', async () => {
    const help = await parse('train sft --help');
    expect(help.code).toBe(0);
    expect(help.printed).toContain('largeforge train sft --model base');
    expect(help.printed).toContain('(default: 0.0002)');
    const all = await parse('--help');
    expect(all.printed).toContain('train: dpo, sft');
    expect(await parse('--version')).toMatchObject({ code: 0, printed: '9.9.9\n' });
  });

  it('refuses a command whose flag hides a global one', () => {
    const clash = { name: 'x', summary: 'x', options: [{ flags: '--quiet', description: 'x' }], run: nothing };
    expect(() =>
      buildProgram(
        [clash],
        '1',
        async () => 0,
        () => {},
      ),
    ).toThrow('hides the global flag -q, --quiet');
  });

  it('scans the global flags without knowing the commands', () => {
    expect(
      scanGlobalOptions(['train', 'sft', '--model', 'm', '-c', 'x.yaml', '--profile', 'small']).globals,
    ).toMatchObject({
      config: 'x.yaml',
      profile: 'small',
    });
    expect(scanGlobalOptions(['run', '--log', 'xml']).words).toContain('run');
  });
});
