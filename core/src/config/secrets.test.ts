import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { bootWith } from '../application/application.fixture.js';
import { definePlugin } from '../application/context.js';
import { defineStepRunner } from '../lifecycle/step-runner.js';
import { failure, write } from './config.fixture.js';
import { secret } from './schema.js';
import { isSecretName, maskSecretKeys, Secrets } from './secrets.js';

describe('a secret', () => {
  it.each([
    'apiKey',
    'apiKeys',
    'API_KEY',
    'OPENAI_API_KEY',
    'adminKeys',
    'password',
    'dbPassword',
    'HF_TOKEN',
    'token',
    'accessToken',
    'client-secret',
    'clientSecret',
    'secret',
    'privateKey',
    'credentials',
    'x-api-key',
    'authorization',
    'Cookie',
  ])('is told by the name %s', (name) => {
    expect(isSecretName(name)).toBe(true);
  });

  it.each([
    'maxTokens',
    'tokens',
    'padToken',
    'eos_token',
    'stopTokens',
    'max_new_tokens',
    'tokenizer',
    'key',
    'keys',
    'monkey',
    'tokensPerSecond',
    'secretary',
    'numKeys',
    'mask_token',
    'PAD_TOKEN',
  ])('is not told by the name %s', (name) => {
    expect(isSecretName(name)).toBe(false);
  });

  it('is masked in any text, also as JSON and URLs write it; short words are left alone', () => {
    const secrets = new Secrets();
    secrets.add(['p"ss wörd', 'longer p"ss wörd one', 'abc', 12345]);
    expect(secrets.redact('a p"ss wörd and longer p"ss wörd one, abc')).toBe('a [secret] and [secret], abc');
    expect(secrets.redact(JSON.stringify({ x: 'p"ss wörd' }))).toBe('{"x":"[secret]"}');
    expect(secrets.redact('https://x/?key=p%22ss%20w%C3%B6rd&n=12345')).toBe('https://x/?key=[secret]&n=[secret]');
    expect(new Secrets().redact('as it is')).toBe('as it is');
  });

  it('is masked by its key wherever it stands in what is logged', () => {
    const error = new Error('x');
    expect(
      maskSecretKeys({ a: { apiKey: 'k', list: [{ password: 'p', user: 'u' }] }, maxTokens: 5, err: error }),
    ).toEqual({
      a: { apiKey: '[secret]', list: [{ password: '[secret]', user: 'u' }] },
      maxTokens: 5,
      err: error,
    });
    const endless: Record<string, unknown> = {};
    endless.self = endless;
    expect(JSON.stringify(maskSecretKeys(endless))).toContain('[secret]');
  });
});

describe('nothing that is printed or written has a secret in it', () => {
  // Told by key, by zod's meta (in a plugin and in a step), by the variable's name, and as a part of a longer text.
  const texts = ['key-secret-1', 'meta-secret-2', 'step-secret-3', 'env-secret-4', 'file-secret-5', 'set-secret-6'];
  const yaml = `
plugins:
  - - leaky
    - apiKeys: [key-secret-1, '\${file:key.txt}']
      code: meta-secret-2
      url: https://user:\${env:DB_PASSWORD}@host/
pipeline:
  - name: leak
    stage: data
    use: leak
    with: {pin: step-secret-3, again: 1}
`;
  const leaky = definePlugin({
    name: 'leaky',
    version: '1.0.0',
    apiVersion: 1,
    options: z.strictObject({
      apiKeys: z.array(z.string()),
      code: secret(z.string()),
      url: z.string(),
      adminKeys: z.array(z.string()).optional(),
    }),
    setup(context, options) {
      // A plugin that does everything wrong.
      context.log.info(
        { options, headers: { authorization: 'Bearer x' } },
        `my options are ${JSON.stringify(options)}`,
      );
      context.log.child({ url: options.url }).error({ err: new Error(`cannot reach ${options.url}`) });
      context.registries.dataSource.add('leak', {
        load: () =>
          defineStepRunner('data', {
            options: z.strictObject({ pin: secret(z.string()), again: z.number() }),
            async run(step, given) {
              step.log.warn(`the pin is ${given.pin}`);
              throw new Error(`could not use pin ${given.pin}`, { cause: new Error(options.apiKeys.join()) });
            },
          }),
      });
    },
  });

  it.each(['json', 'pretty'] as const)(
    'in the %s log, inspect, errors, the trace, events of the log and run files',
    async (logFormat) => {
      const seen: string[] = [];
      const { application, folder, log, events } = await bootWith(
        { 'largeforge.config.yaml': yaml, 'key.txt': 'file-secret-5\n' },
        {
          known: [leaky],
          env: { DB_PASSWORD: 'env-secret-4' },
          set: ['plugins.leaky.adminKeys=[set-secret-6]'],
          traceFile: 'trace.json',
          logFormat,
        },
      );
      const entries = await application.describeConfig();
      seen.push(JSON.stringify(entries));
      const error = await failure(application.runPipeline());
      // What prints an error masks it: its message is somebody else's text.
      seen.push(application.redact(inspect(error, { depth: 9 })));
      seen.push(JSON.stringify(await application.jsonSchema()));
      await application.close();
      seen.push(log.join(''), JSON.stringify(events.filter(({ type }) => type === 'log')));
      const files = readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)));
      const written = files.filter(
        (file) => statSync(file).isFile() && !/largeforge\.config\.yaml|key\.txt/.test(file),
      );
      expect(written.map((file) => file.slice(folder.length)).sort()).toEqual([
        '/.largeforge/pipeline.json',
        '/trace.json',
      ]);
      seen.push(...written.map((file) => readFileSync(file, 'utf8')));
      for (const text of texts) for (const each of seen) expect(each).not.toContain(text);
      // The test is blind unless the secrets were really there.
      expect(log.join('')).toContain('the pin is [secret]');
      expect(error.message).toContain('step-secret-3');
      expect(entries.filter((entry) => entry.secret).map(({ path }) => path)).toEqual([
        'plugins[0] (leaky).apiKeys[0]',
        'plugins[0] (leaky).apiKeys[1]',
        'plugins[0] (leaky).code',
        'plugins[0] (leaky).url',
        'plugins[0] (leaky).adminKeys[0]',
        'pipeline[0].with.pin',
      ]);
    },
  );

  it('when a config with secrets is wrong, or its reload is refused', async () => {
    const wrong = yaml.replace('code: meta-secret-2', 'code: [meta-secret-2]');
    const files = { 'largeforge.config.yaml': wrong, 'key.txt': 'file-secret-5' };
    const options = { known: [leaky], env: { DB_PASSWORD: 'env-secret-4' } };
    const error = await failure(bootWith(files, options));
    expect(error.message).toContain('code: expected a string, found a secret (not shown)');
    for (const text of texts) expect(inspect(error, { depth: 9 })).not.toContain(text);

    const { application, folder, log, events } = await bootWith({ ...files, 'largeforge.config.yaml': yaml }, options);
    write(folder, { 'largeforge.config.yaml': wrong });
    await application.reloadConfig();
    expect(events.at(-1)).toMatchObject({ type: 'config.rejected' });
    const all = log.join('') + JSON.stringify(events);
    for (const text of texts) expect(all).not.toContain(text);
  });
});
