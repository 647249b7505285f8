import { existsSync as exists, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { type CommandContext, type CommandDefinition, defineErrors } from '@largeforge/core';
import { type InitAnswers, initConfig, pathInConfig } from './init-config.js';

export const initErrors = defineErrors({
  LF_INIT_EXISTS: {
    message: ({ path }: { path: string }) => `'${path}' is there already`,
    remedy: () => 'name another file, or give --force to write over it',
    exitCode: 2,
  },
  LF_INIT_ANSWER: {
    message: ({ flag }: { flag: string; what: string }) => `${flag} is not given, and there is no terminal to ask at`,
    remedy: ({ flag, what }) => `give ${flag} <${what}>`,
    exitCode: 2,
  },
  LF_INIT_WRITE: {
    message: ({ path, reason }: { path: string; reason: string }) => `cannot write '${path}': ${reason}`,
    remedy: () => 'check that the folder may be written to, or name a file elsewhere',
  },
});

/** Asks a question; the answer is the default when nothing is typed. */
export type Ask = (question: string, fallback?: string) => Promise<string>;

interface InitFlags {
  readonly model?: string;
  readonly data?: string;
  readonly method?: 'lora' | 'full';
  readonly output?: string;
  readonly yes?: boolean;
  readonly force?: boolean;
}

/** The answers: of flags, then (with somebody to ask) of questions, then the defaults. */
export async function collectAnswers(flags: InitFlags, ask: Ask | undefined): Promise<InitAnswers> {
  const need = async (flag: string, what: string, given: string | undefined, question: string) => {
    const answer = given ?? (await ask?.(question))?.trim();
    if (!answer) throw initErrors.LF_INIT_ANSWER({ flag, what });
    return answer;
  };
  const offer = async (given: string | undefined, question: string, fallback: string) =>
    given ?? ((flags.yes ? '' : (await ask?.(question, fallback))?.trim()) || fallback);
  const model = await need('--model', 'model', flags.model, 'Base model (folder, .gguf or cached name)');
  const data = await need('--data', 'file', flags.data, 'Training data (JSON or JSON Lines)');
  const method = (await offer(flags.method, 'Method: lora or full', 'lora')) === 'full' ? 'full' : 'lora';
  return { model, data, method, output: await offer(flags.output, 'Folder for the results', './output') };
}

/** `largeforge init`: writes a config that works, by questions or by flags. */
export const initCommand: CommandDefinition<CommandContext> = {
  name: 'init',
  summary: 'write a config that fine-tunes a model',
  description: 'Writes a config with comments. What the flags do not say is asked when there is a terminal.',
  examples: ['largeforge init', 'largeforge init --model ./base --data train.jsonl --method lora --yes'],
  arguments: [{ name: '[file]', description: 'where to write it', default: 'largeforge.config.yaml' }],
  options: [
    { flags: '--model <model>', description: 'folder, .gguf file or name in the local Hugging Face cache' },
    { flags: '--data <file>', description: 'training data' },
    { flags: '--task <task>', description: 'what to train for', choices: ['sft'], default: 'sft' },
    { flags: '--method <method>', description: 'what to train (default: lora)', choices: ['lora', 'full'] },
    { flags: '--output <folder>', description: 'where the results go (default: ./output)' },
    { flags: '--yes', description: 'take the defaults without asking' },
    { flags: '--force', description: 'write over a file that is there' },
  ],
  async run({ options, positionals }, { cwd, signal }) {
    const flags = options as InitFlags;
    const file = String(positionals[0]);
    const path = resolve(cwd, file);
    const terminal =
      process.stdin.isTTY && !flags.yes ? createInterface({ input: process.stdin, output: process.stdout }) : undefined;
    try {
      const ask: Ask | undefined =
        terminal &&
        ((question, fallback) => terminal.question(`${question}${fallback ? ` [${fallback}]` : ''}: `, { signal }));
      const answers = await collectAnswers(flags, ask);
      const place = (given: string) => pathInConfig(given, cwd, file);
      // A name such as organisation/model is no path: it is looked for in the cache.
      const model = /^[\w-][\w.-]*\/[\w.-]+$/.test(answers.model) && !exists(resolve(cwd, answers.model));
      write(
        path,
        initConfig({
          ...answers,
          model: model ? answers.model : place(answers.model),
          data: place(answers.data),
          output: place(answers.output),
        }),
        flags.force === true,
      );
    } finally {
      terminal?.close();
    }
    process.stdout.write(
      `wrote ${file}\ncheck it: largeforge run -c ${file} --dry-run\nrun it:   largeforge run -c ${file}\n`,
    );
  },
};

/** Writes in one go: a file that appeared since is not written over either. */
function write(path: string, text: string, force: boolean): void {
  const failed = (error: unknown) => initErrors.LF_INIT_WRITE({ path, reason: (error as Error).message });
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (error) {
    throw failed(error); // EEXIST here: a part of the path is a file
  }
  try {
    writeFileSync(path, text, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? initErrors.LF_INIT_EXISTS({ path }) : failed(error);
  }
}
