import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { failure, folderWith } from '../config/config.fixture.js';
import { secret } from '../config/schema.js';
import { defineStepRunner, type StepPlan } from '../index.js';
import { bootWith } from './application.fixture.js';
import { Application, builtInConfig } from './application.js';
import { definePlugin, type Plugin } from './context.js';

const server = definePlugin({
  name: '@largeforge/server',
  version: '1.2.0',
  apiVersion: 1,
  options: z.strictObject({
    port: z.int().min(1).max(65535).default(8000),
    limits: z.strictObject({ queue: z.int().positive() }).default({ queue: 8 }),
    mode: z.enum(['fast', 'safe']).default('safe'),
    keys: secret(z.array(z.string().min(8))).default([]),
    auth: z
      .discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('none') }),
        z.strictObject({ kind: z.literal('jwt'), issuer: z.url() }),
      ])
      .optional(),
  }),
  setup: () => {},
});

const boot = (yaml: string, options = {}) => bootWith(yaml, { known: [server], ...options });

describe('options of plugins', () => {
  it.each([
    [
      "plugins:\n  - ['@largeforge/server', {port: no}]\n",
      'largeforge.config.yaml:2:35: plugins[0] (@largeforge/server).port: expected a whole number, found the string "no"',
    ],
    [
      "plugins:\n  - - '@largeforge/server'\n    - limits:\n        qeue: 3\n",
      'largeforge.config.yaml:4:9: plugins[0] (@largeforge/server).limits.queue: missing: expected a whole number\n' +
        'largeforge.config.yaml:4:9: plugins[0] (@largeforge/server).limits.qeue: unknown key. Did you mean "queue"? Known: queue',
    ],
    [
      "plugins:\n  - ['@largeforge/server', {mode: fats}]\n",
      'largeforge.config.yaml:2:35: plugins[0] (@largeforge/server).mode: expected "fast" or "safe", found the string "fats". Did you mean "fast"?',
    ],
    [
      "plugins:\n  - ['@largeforge/server', {auth: {kind: jwt, issuer: here}}]\n",
      'largeforge.config.yaml:2:55: plugins[0] (@largeforge/server).auth.issuer: expected a text of the form "url", found the string "here"',
    ],
    [
      "plugins:\n  - ['@largeforge/server', {port: 70000}]\n",
      'largeforge.config.yaml:2:35: plugins[0] (@largeforge/server).port: expected at most 65535, found the number 70000',
    ],
  ])('are checked by their own schema (%#)', async (yaml, message) => {
    const error = await failure(boot(yaml));
    expect(error.message).toBe(message);
    expect(error).toMatchObject({ code: 'LF_CONFIG_INVALID', exitCode: 2 });
  });

  it('say nothing of a secret, not even when it is wrong', async () => {
    const error = await failure(boot("plugins:\n  - ['@largeforge/server', {keys: [hunter2]}]\n"));
    expect(error.message).toBe(
      'largeforge.config.yaml:2:36: plugins[0] (@largeforge/server).keys[0]: expected at least 8 characters, found a secret (not shown)',
    );
  });

  it('can be changed by flags, variables and profiles, read as the schema wants', async () => {
    let options: unknown;
    const plugin: Plugin = {
      ...server,
      setup: (_, given) => {
        options = given;
      },
    };
    await bootWith(
      "plugins: ['@largeforge/server']\nprofiles: {p: {plugins: {'@largeforge/server': {mode: fast}}}}\n",
      {
        known: [plugin],
        profile: 'p',
        env: { LARGEFORGE__plugins__0__1__port: '81', LARGEFORGE__plugins__0__limits__queue: '3' },
        set: ['plugins.@largeforge/server.keys[0]=12345678'],
      },
    );
    expect(options).toEqual({ port: 81, limits: { queue: 3 }, mode: 'fast', keys: ['12345678'] });
  });
});

describe('plugins of a config', () => {
  it.each([
    [
      "plugins:\n  - '@largeforge/server'\n  - '@largeforge/sevrer'\n",
      'largeforge.config.yaml:3:5: plugins[1]: there is no plugin "@largeforge/sevrer". Did you mean "@largeforge/server"?',
      'LF_CONFIG_UNKNOWN_PLUGIN',
    ],
    [
      'plugins: [./mine.mjs]\n',
      'largeforge.config.yaml:1:11: plugins[0]: there is no plugin "./mine.mjs".',
      'LF_CONFIG_UNKNOWN_PLUGIN',
    ],
    [
      "plugins:\n  - '@largeforge/server'\n  - ['@largeforge/server', {port: 1}]\n",
      'largeforge.config.yaml:3:6: plugins[1]: plugin "@largeforge/server" is listed already (largeforge.config.yaml:2:5: plugins[0])',
      'LF_PLUGIN_DUPLICATE',
    ],
    [
      "plugins: ['@x/old']\n",
      'largeforge.config.yaml:1:11: plugins[0] (@x/old): plugin "@x/old" has apiVersion 0; this kernel speaks 1',
      'LF_PLUGIN_API',
    ],
    [
      "plugins: ['@x/nothing']\n",
      'largeforge.config.yaml:1:11: plugins[0] (@x/nothing): the module has no default export made by definePlugin()',
      'LF_PLUGIN_INVALID',
    ],
    [
      "plugins: ['@x/needy']\n",
      'largeforge.config.yaml:1:11: plugins[0]: plugin "@x/needy" needs "@largeforge/server" ^1.0.0, and the config does not list it.',
      'LF_PLUGIN_MISSING',
    ],
  ])('are refused with the place (%#)', async (yaml, message, code) => {
    const known = [
      server,
      { ...server, name: '@x/old', apiVersion: 0 as never },
      { name: '@x/nothing' } as never,
      { ...server, name: '@x/needy', requires: { '@largeforge/server': '^1.0.0' } },
    ];
    const modules = Object.fromEntries(
      known.map((plugin) => [(plugin as Plugin).name, async () => ((plugin as Plugin).version ? plugin : undefined)]),
    );
    const error = await failure(bootWith(yaml, { modules }));
    expect(error).toMatchObject({ message, code, exitCode: 2 });
  });

  it('are loaded relative to the file that lists them, also when another extends it', async () => {
    const plugin = (name: string) =>
      `import { z } from ${JSON.stringify(import.meta.resolve('zod'))};
       export default { name: '${name}', version: '1.0.0', apiVersion: 1, options: z.strictObject({}), setup() {} };`;
    const folder = folderWith({ 'base/mine.mjs': plugin('from-base'), 'mine.mjs': plugin('from-main') });
    mkdirSync(join(folder, 'project'));
    writeFileSync(join(folder, 'base/c.yaml'), 'plugins: [./mine.mjs]\n');
    writeFileSync(join(folder, 'project/main.yaml'), 'extends: ../base/c.yaml\n');
    const { application } = await bootWith({}, { folder, file: 'project/main.yaml' });
    expect(application.kernel.plugins.map((loaded) => loaded.plugin.name)).toEqual(['from-base']);
  });

  it('may be there without being listed: those of the program itself', async () => {
    const { application } = await bootWith('', { ownPlugins: [server] });
    expect(application.kernel.plugins.map((loaded) => loaded.plugin.name)).toEqual(['@largeforge/server']);
  });

  it('are all first-party ones that are installed when there is no config', () => {
    const { plugins } = builtInConfig() as { plugins: string[] };
    expect(plugins).toContain('@largeforge/backend-cpu');
    expect(plugins).toContain('@largeforge/server-openai');
    expect(plugins.filter((name) => /core|engine|linux/.test(name))).toEqual([]);
  });
});

describe('a booted application', () => {
  const hooks: string[] = [];
  const tapping = definePlugin({
    name: 'tapping',
    version: '1.0.0',
    apiVersion: 1,
    options: z.strictObject({}),
    setup({ hooks: { config, kernel }, onDispose }) {
      config.resolve.tap((values) => ({ ...values, runDir: 'by-plugin' }));
      config.ready.tap((values) => void hooks.push(`config.ready ${String(values.runDir)}`));
      kernel.ready.tap(() => void hooks.push('kernel.ready'));
      kernel.shutdown.tap(() => void hooks.push('kernel.shutdown'));
      onDispose(() => void hooks.push('dispose'));
    },
  });

  it('fires config.resolve, config.ready and kernel.ready; closing fires kernel.shutdown and disposes, once', async () => {
    const { application } = await bootWith('plugins: [tapping]\nrunDir: mine\nlog: {level: warn}\n', {
      known: [tapping],
    });
    expect(application.config.root.runDir).toBe('by-plugin');
    const sources = Object.fromEntries((await application.describeConfig()).map(({ path, source }) => [path, source]));
    expect(sources.runDir).toBe('a plugin (config.resolve)');
    expect(sources['log.level']).toBe('largeforge.config.yaml:3:14');
    await application.close();
    await application.close();
    expect(hooks).toEqual(['config.ready by-plugin', 'kernel.ready', 'kernel.shutdown', 'dispose']);
  });

  it('checks what plugins make of the config', async () => {
    const breaking = definePlugin({
      ...tapping,
      setup: (context) => context.hooks.config.resolve.tap((values) => ({ ...values, runDir: 5 })),
    });
    const error = await failure(bootWith('plugins: [tapping]\n', { known: [breaking] }));
    expect(error.message).toBe(
      'a plugin that taps config.resolve made this: a plugin (config.resolve): runDir: expected a string, found the number 5',
    );
  });

  it('writes a trace of boot, hooks and steps, also when the boot fails', async () => {
    const { application, folder } = await bootWith('plugins: [tapping]\n', {
      known: [tapping],
      traceFile: 'out/t.json',
    });
    await application.close();
    const names = (file: string) =>
      (JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: { name: string }[] }).traceEvents.map(
        ({ name }) => name,
      );
    expect(names(join(folder, 'out/t.json'))).toEqual(expect.arrayContaining(['boot', 'tapping', 'config.ready']));
    const failing = definePlugin({
      ...tapping,
      setup: () => {
        throw new Error('no');
      },
    });
    const other = folderWith({ 'largeforge.config.yaml': 'plugins: [tapping]\n' });
    await failure(bootWith('', { folder: other, known: [failing], traceFile: 't.json' }));
    expect(names(join(other, 't.json'))).toContain('tapping');
  });

  it('tells a failing listener of events apart from the run', async () => {
    const { application, log } = await bootWith('');
    application.events.on('message', () => {
      throw new Error('broken listener');
    });
    application.events.emit({ type: 'message', level: 'info', text: 'hello' });
    expect(log.join()).toContain('a listener of message events failed');
  });

  it('types the context of a plugin by the lifecycle', () => {
    definePlugin({
      ...tapping,
      setup({ hooks: { train, evaluate }, registries }) {
        train.plan.tap((plan) => {
          expectTypeOf(plan).toEqualTypeOf<StepPlan>();
          return { ...plan, resume: true };
        });
        // @ts-expect-error a sync observer is not async
        train.step.tap(async () => 5);
        // @ts-expect-error a gate answers with a reason
        evaluate.gate.tap(() => ({ why: 'x' }));
        // @ts-expect-error a plugin cannot fire
        train.plan.fire;
        registries.trainer.add('t', {
          load: () =>
            defineStepRunner('train', {
              options: z.strictObject({ epochs: z.number() }),
              async run(context, options) {
                expectTypeOf(options).toEqualTypeOf<{ epochs: number }>();
                expectTypeOf(context.hooks.step.fire).returns.toEqualTypeOf<void>();
                return {};
              },
            }),
        });
        // @ts-expect-error a trainer is a step runner
        registries.trainer.add('u', { load: () => 5 });
      },
    });
    expect(Application).toBeDefined();
  });
});
