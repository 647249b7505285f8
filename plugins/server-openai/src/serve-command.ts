import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type CommandContext, type CommandDefinition, collect, integerBetween, reasonOf } from '@largeforge/core';
import { serverErrors } from './errors.js';

interface ServeFlags {
  readonly model: readonly string[];
  readonly name?: string;
  readonly port?: number;
  readonly host?: string;
  readonly apiKeyFile?: string;
}

/** `largeforge serve`. */
export const serveCommand: CommandDefinition<CommandContext> = {
  name: 'serve',
  summary: 'serve models behind an OpenAI-compatible API',
  description:
    'Loads models and answers /v1/completions and /v1/chat/completions until Ctrl-C or SIGTERM; requests that run then are finished first. Keys and limits of the plugin follow the config file.',
  examples: [
    'largeforge serve --model ./out --port 8000',
    'largeforge serve --model ./model.gguf --name assistant',
    'largeforge serve --model ./base --model ./adapter --host 0.0.0.0 --api-key-file keys.txt',
  ],
  options: [
    {
      flags: '-m, --model <model>',
      description: 'folder, .gguf file, adapter or cached name; may be repeated',
      parse: collect,
      required: true,
    },
    { flags: '--name <id>', description: 'name that requests use for the first model (default: from its path)' },
    {
      flags: '-p, --port <port>',
      description: 'port to listen on; 0 takes a free one (default: 8000)',
      parse: integerBetween(0, 65_535),
    },
    { flags: '--host <address>', description: 'address to listen on; others than 127.0.0.1 need API keys' },
    { flags: '--api-key-file <file>', description: 'keys that clients must send, one a line' },
  ],
  async run({ options }, { application, runSteps, cwd }) {
    application.watchConfig();
    const { model, name, port, host, apiKeyFile } = options as unknown as ServeFlags;
    const models = model.map((path, i) => (i === 0 && name !== undefined ? { path, id: name } : path));
    const apiKeys = apiKeyFile === undefined ? undefined : readKeys(resolve(cwd, apiKeyFile));
    await runSteps([
      {
        name: 'serve',
        stage: 'serve',
        use: 'openai',
        with: {
          models,
          ...(port !== undefined && { port }),
          ...(host !== undefined && { host }),
          ...(apiKeys && { apiKeys }),
        },
      },
    ]);
  },
};

function readKeys(file: string): string[] {
  try {
    const keys = readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
    if (keys.length === 0) throw new Error('the file is empty');
    return keys;
  } catch (error) {
    throw serverErrors.LF_SERVER_KEY_FILE({ file, reason: reasonOf(error) }, { cause: error });
  }
}
