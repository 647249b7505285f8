import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { definePlugin, type Plugin } from '../application/context.js';
import { failure } from '../config/config.fixture.js';
import { defineStepRunner } from '../lifecycle/step-runner.js';
import { makeToy } from '../pipeline/pipeline.fixture.js';
import { checkPackage, checkPlugin, testPlugin } from './index.js';

/** A plugin as a stranger might write it. */
const gate = definePlugin({
  name: '@stranger/gate',
  version: '0.3.0',
  apiVersion: 1,
  requires: { '@largeforge/data': '^0.1.0' },
  options: z.strictObject({ minimum: z.number().default(0.5) }),
  setup({ hooks, registries, services, commands, log }, { minimum }) {
    hooks.evaluate.gate.tap(({ outputs }) =>
      Number(outputs.accuracy) < minimum
        ? { reason: `accuracy ${String(outputs.accuracy)} is below ${minimum}` }
        : undefined,
    );
    hooks.train.plan.tap((plan) => ({ ...plan, options: { ...(plan.options as object), seed: 7 } }));
    services.provide('gate', { minimum });
    commands.add({ name: 'gate show', summary: 'Show the gate', run: async () => {} });
    registries.trainer.add('counting', {
      describe: 'counts rows with the data service',
      load: () =>
        defineStepRunner('train', {
          options: z.strictObject({ dataset: z.string(), seed: z.number().optional() }),
          async run(context, options) {
            const data = await context.kernel.services.get<{ rows(path: string): number }>('data');
            const { library } = await context.backend();
            for (let step = 1; step <= 2; step++) {
              if (context.signal.aborted) throw context.signal.reason;
              context.events.emit({ type: 'progress', task: context.name, current: step, total: 2 });
            }
            log.info('counted');
            return { rows: data.rows(context.resolvePath(options.dataset)), seed: options.seed, library };
          },
        }),
    });
  },
});

const data = { rows: (path: string) => readFileSync(path, 'utf8').split('\n').length };
const fakes = {
  services: { data },
  registries: { backend: { cpu: { id: 'cpu', library: '/fake.so' } } },
  files: { 'rows/train.txt': 'a\nb\nc' },
};

describe('testPlugin', () => {
  it('sets one plugin up without the rest and says what it has added', async () => {
    await using test = await testPlugin(gate);
    expect(test.registered).toEqual({
      registries: { trainer: ['counting'] },
      services: ['gate'],
      commands: ['gate show'],
      hooks: ['train.plan', 'evaluate.gate'],
    });
    expect((await test.get('trainer', 'counting')).run).toBeTypeOf('function');
  });

  it('fires hooks, typed by the lifecycle', async () => {
    await using test = await testPlugin(gate, { options: { minimum: 0.9 } });
    const plan = { step: 's', use: 'counting', options: {}, outputDir: '/tmp', resume: false };
    expect((await test.fire('train.plan', plan)).options).toEqual({ seed: 7 });
    expect(await test.fire('evaluate.gate', { plan, outputs: { accuracy: 0.8 } })).toEqual({
      plugin: '@stranger/gate',
      answer: { reason: 'accuracy 0.8 is below 0.9' },
    });
    expect(await test.fire('evaluate.gate', { plan, outputs: { accuracy: 0.95 } })).toBeUndefined();
    // @ts-expect-error there is no such hook
    await expect(test.fire('train.plam', plan)).rejects.toThrow();
  });

  it('runs a step in a folder of its own, with fakes of what others provide', async () => {
    const test = await testPlugin(gate, fakes);
    const outputs = await test.runStep({ stage: 'train', use: 'counting', with: { dataset: 'rows/train.txt' } });
    expect(outputs).toEqual({ rows: 3, seed: 7, library: '/fake.so' });
    expect(test.eventsOf('progress').map(({ current }) => current)).toEqual([1, 2]);
    expect(test.log).toContainEqual(expect.objectContaining({ plugin: '@stranger/gate', msg: 'counted' }));
    expect(existsSync(join(test.folder, 'rows/train.txt'))).toBe(true);
    await test.dispose();
    expect(existsSync(test.folder)).toBe(false);
  });

  it('runs a whole pipeline with the plugin and others, and can interrupt it', async () => {
    const toy = makeToy();
    const pipeline = [
      { name: 't', stage: 'train', use: 'copy', with: { text: 'x' } },
      { name: 'e', stage: 'evaluate', use: 'length', with: { file: '${steps.t.file}' } },
    ];
    await using test = await testPlugin(gate, { plugins: [[toy.plugin, { minimum: 1 }]], config: { pipeline } });
    // The gate's plan gives every trainer a seed, which `copy` does not know.
    expect((await failure(test.runPipeline())).message).toContain('copy.seed: unknown key');
    test.interrupt();
    expect((await failure(test.runPipeline())).message).toBe('interrupted before step "t"');
  });

  it('fails as the application does when options are wrong, and leaves no folder', async () => {
    const error = await failure(testPlugin(gate, { options: { minimun: 1 } }));
    expect(error.message).toContain('(@stranger/gate).minimun: unknown key. Did you mean "minimum"?');
  });

  it('rejects when a disposer fails', async () => {
    const test = await testPlugin({
      ...gate,
      setup: (context) =>
        context.onDispose(() => {
          throw new Error('stuck');
        }),
    });
    await expect(test.dispose()).rejects.toThrow('[plugin @stranger/gate] dispose: stuck');
  });
});

describe('checkPlugin', () => {
  it('finds nothing wrong with a plugin that keeps its contract', async () => {
    expect(await checkPlugin(gate, fakes)).toEqual([]);
    expect(await checkPlugin(makeToy().plugin)).toEqual([]);
  });

  const wrong = (change: Partial<Plugin>) => ({ ...gate, requires: {}, setup: () => {}, ...change }) as Plugin;

  it.each<[string, Plugin, string]>([
    ['a missing version', wrong({ version: '' }), 'has version ""'],
    ['a name that is no package name', wrong({ name: 'My Plugin' }), 'the name "My Plugin" is no package name'],
    ['another apiVersion', wrong({ apiVersion: 2 as never }), 'has apiVersion 2'],
    ['options that take anything', wrong({ options: z.object({}) }), 'options: an unknown key is not refused'],
    ['options that refuse what is given', wrong({ options: z.strictObject({ a: z.string() }) }), 'the schema refuses'],
    [
      'a setup that throws',
      wrong({
        setup: () => {
          throw new Error('no');
        },
      }),
      'the first setup failed: built-in config: plugins[1]: [plugin @stranger/gate] setup: no',
    ],
    [
      'a disposer that throws',
      wrong({
        setup: (context) =>
          context.onDispose(() => {
            throw new Error('stuck');
          }),
      }),
      'dispose failed',
    ],
    [
      'an entry that does not load',
      wrong({
        setup: ({ registries }) =>
          registries.trainer.add('t', {
            load: () => {
              throw new Error('gone');
            },
          }),
      }),
      'trainer "t" does not load',
    ],
    [
      'a runner without run',
      wrong({
        setup: ({ registries }) =>
          registries.trainer.add('t', { load: () => ({ options: z.strictObject({}) }) as never }),
      }),
      'trainer "t" has no run function',
    ],
    [
      'a runner that takes any option',
      wrong({
        setup: ({ registries }) =>
          registries.trainer.add('t', { load: () => ({ options: z.looseObject({}), run: async () => ({}) }) }),
      }),
      'trainer "t" options: an unknown key is not refused',
    ],
    [
      'a loss that takes any option',
      wrong({ setup: ({ registries }) => registries.loss.add('l', { load: () => ({ options: z.looseObject({}) }) }) }),
      'loss "l" options: an unknown key is not refused',
    ],
    [
      'a command that is there twice',
      wrong({
        setup: ({ commands }) => {
          commands.add({ name: 'x', summary: 'x', run: async () => {} });
          commands.add({ name: 'x', summary: 'y', run: async () => {} });
        },
      }),
      'command "x" is there already, from @stranger/gate',
    ],
    [
      'a probe without a reason',
      wrong({
        setup: ({ registries }) =>
          registries.backend.add('b', { probe: () => ({ ok: false, reason: '' }), load: () => ({}) as never }),
      }),
      'backend "b": the probe says no without a reason',
    ],
    [
      'a command without a summary',
      wrong({ setup: ({ commands }) => commands.add({ name: 'x', summary: '', run: async () => {} }) }),
      'command "x" has no summary',
    ],
    [
      'a flag that hides a global one',
      wrong({
        setup: ({ commands }) =>
          commands.add({
            name: 'x',
            summary: 'x',
            options: [{ flags: '--quiet', description: '' }],
            run: async () => {},
          }),
      }),
      'hides the global flag',
    ],
  ])('finds %s', async (_, plugin, problem) => {
    expect((await checkPlugin(plugin)).join('\n')).toContain(problem);
  });

  it('finds state that outlives the plugin, and handles that it leaves open', async () => {
    let times = 0;
    const once = wrong({
      setup: () => {
        if (++times > 1) throw new Error('only once');
      },
    });
    expect((await checkPlugin(once)).join()).toContain(
      'the second setup failed: built-in config: plugins[1]: [plugin @stranger/gate] setup: only once',
    );
    const servers: ReturnType<typeof createServer>[] = [];
    const leaking = wrong({
      setup: () =>
        new Promise<void>((resolve) => {
          const server = createServer();
          servers.push(server);
          server.listen(0, '127.0.0.1', resolve);
        }),
    });
    expect(await checkPlugin(leaking)).toContain('2 TCPServerWrap left open after dispose');
    for (const server of servers) server.close();
  });
});

describe('checkPackage', () => {
  const good = {
    name: '@stranger/gate',
    version: '0.3.0',
    description: 'A gate',
    type: 'module',
    keywords: ['largeforge-plugin'],
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
    files: ['dist'],
    peerDependencies: { '@largeforge/core': '^0.1.0', '@largeforge/data': '^0.1.0' },
  };

  /** What is said of a package with this manifest. */
  function check(change: Record<string, unknown>, files = ['dist/index.js', 'dist/index.d.ts', 'README.md']): string {
    const folder = mkdtempSync(join(tmpdir(), 'largeforge-package-'));
    try {
      mkdirSync(join(folder, 'dist'));
      for (const file of files) writeFileSync(join(folder, file), '');
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...good, ...change }));
      return checkPackage(gate, folder, '0.1.3').join('\n');
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it('finds nothing wrong with a package that can be installed', () => {
    expect(check({})).toBe('');
    expect(check({ files: undefined })).toBe('');
  });

  it.each<[string, Record<string, unknown>]>([
    ['name is not "@stranger/gate"', { name: 'gate' }],
    ['version is not 0.3.0', { version: '0.2.0' }],
    ['type is not "module"', { type: undefined }],
    ['there is no description', { description: '' }],
    ['keywords lack "largeforge-plugin"', { keywords: ['gate'] }],
    ['exports has no "." with a default', { exports: {} }],
    ['exports["."] has no types', { exports: './dist/index.js' }],
    ['files leave out ./dist/index.js', { files: ['src'] }],
    ['@largeforge/core is no peer dependency', { peerDependencies: { '@largeforge/data': '*' } }],
    ['@largeforge/core ^0.2.0 does not take 0.1.3', { peerDependencies: { '@largeforge/core': '^0.2.0' } }],
    ['@largeforge/data, which the plugin requires', { peerDependencies: { '@largeforge/core': '^0.1.0' } }],
  ])('finds: %s', (problem, change) => {
    expect(check(change)).toContain(problem);
  });

  it('finds what is not built, not written or not there', () => {
    expect(check({}, ['README.md'])).toContain('./dist/index.js does not exist: is the package built?');
    expect(check({}, ['dist/index.js', 'dist/index.d.ts'])).toBe('there is no README.md');
    expect(checkPackage(gate, '/no/such/folder')[0]).toContain('package.json: ');
  });
});
