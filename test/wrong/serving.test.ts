import { cpSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe } from 'vitest';
import { itSaysWhatIsWrong } from './attempt.js';

const quickstart = fileURLToPath(new URL('../../examples/quickstart/base', import.meta.url));

const serve = (
  options = '',
) => `plugins: ['@largeforge/backend-cpu', '@largeforge/generate', '@largeforge/server-openai']
pipeline:
  - {name: serve, stage: serve, use: openai, with: {model: ./base, port: 0${options}}}
`;
const step = 'largeforge.config.yaml:3:5: pipeline[0] (openai): ';
const plugins = serve().split('\n')[0]!;
const copyBase = (folder: string) => cpSync(quickstart, join(folder, 'base'), { recursive: true });

const taken = createServer();
await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
const { port } = taken.address() as AddressInfo;

describe('a server that cannot start', () => {
  afterAll(() => new Promise((resolve) => taken.close(resolve)));

  itSaysWhatIsWrong([
    {
      what: 'a port in use',
      config: serve().replace('port: 0', `port: ${port}`),
      prepare: copyBase,
      code: 'LF_SERVER_PORT_IN_USE',
      where: `port ${port} on 127.0.0.1 is in use`,
      exit: 1,
    },
    {
      what: 'a host for everyone without keys',
      config: serve(', host: 0.0.0.0'),
      prepare: copyBase,
      line: 'run --dry-run',
      code: 'LF_SERVER_UNSAFE_BIND',
      where: `${step}host 0.0.0.0 can be reached from other machines`,
      exit: 2,
    },
    {
      what: 'a host for everyone on the command line',
      config: plugins,
      prepare: copyBase,
      line: 'serve --model ./base --host 0.0.0.0',
      code: 'LF_SERVER_UNSAFE_BIND',
      where: 'no apiKeys are set',
      exit: 2,
    },
    {
      what: 'a file of keys that is not there',
      config: plugins,
      line: 'serve --model ./base --api-key-file keys.txt',
      code: 'LF_SERVER_KEY_FILE',
      where: 'keys.txt',
      exit: 2,
    },
    {
      what: 'a key that is too short',
      config: serve(', apiKeys: [short]'),
      prepare: copyBase,
      code: 'LF_CONFIG_INVALID',
      where: 'pipeline[0] (openai).with.apiKeys[0]',
      exit: 2,
    },
    {
      what: 'a model to serve that is not there',
      config: plugins,
      line: 'serve --model ./none',
      code: 'LF_ENGINE_MODEL_NOT_FOUND',
      where: 'none" is no file or folder here',
      exit: 2,
    },
    {
      what: 'a port that is none',
      config: plugins,
      line: 'serve --model ./base --port 70000',
      code: 'LF_CLI_USAGE',
      where: 'expected a number from 0 to 65535, found 70000',
      exit: 2,
    },
    {
      what: 'an unknown backend to complete with',
      config: `${plugins}\nbackend: gpu\n`,
      line: 'complete --model ./none --prompt a',
      code: 'LF_REGISTRY_UNKNOWN',
      where: 'there is no backend "gpu"',
      exit: 2,
    },
    {
      what: 'a model to talk to that is not there',
      config: plugins,
      line: 'chat --model nobody/nothing',
      code: 'LF_ENGINE_MODEL_NOT_FOUND',
      where: '"nobody/nothing" is no file or folder here',
      exit: 2,
    },
  ]);
});
