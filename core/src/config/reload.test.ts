import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { type Booted, bootWith } from '../application/application.fixture.js';
import { definePlugin, type PluginContext } from '../application/context.js';
import type { ConfigChange } from '../lifecycle/config-contract.js';
import { makeToy } from '../pipeline/pipeline.fixture.js';
import { type Files, folderWith, write } from './config.fixture.js';
import { reloadable } from './schema.js';

/** A plugin with values that may change while it runs, and one that may not; `heard` is what it was told. */
function limiter() {
  const heard: unknown[] = [];
  let context: PluginContext | undefined;
  const plugin = definePlugin({
    name: 'limiter',
    version: '1.0.0',
    apiVersion: 1,
    options: z.strictObject({
      limits: reloadable(z.strictObject({ queue: z.int().positive().default(8), rate: z.int().optional() })).prefault(
        {},
      ),
      greeting: z.string().default('hello'),
      port: z.int().default(1),
    }),
    setup(given) {
      context = given;
      given.config.reloadable('.limits.queue', (value) => void heard.push(['queue', value]));
      given.config.reloadable('.greeting', (value) => {
        if (value === 'boom') throw new Error('no such greeting');
        heard.push(['greeting', value]);
      });
      given.config.reloadable('log.format', (value) => void heard.push(['format', value]));
      given.hooks.config.changed.tap((change: ConfigChange) => void heard.push(change.paths));
    },
  });
  return { plugin, heard, context: () => context! };
}

const yaml = (options: string, rest = '') => `plugins: [[limiter, {${options}}]]\n${rest}`;

async function running(files: Files | string, extra = {}): Promise<Booted & ReturnType<typeof limiter>> {
  const mine = limiter();
  return { ...mine, ...(await bootWith(files, { known: [mine.plugin], ...extra })) };
}

const rewrite = (folder: string, text: string) => write(folder, { 'largeforge.config.yaml': text });

describe('a config that is read again', () => {
  it('changes values that declare themselves reloadable, tells their listeners and fires config.changed', async () => {
    const { application, folder, heard, events, context } = await running(yaml('limits: {queue: 4}'));
    expect(context().config.get('.limits.queue')).toBe(4);
    rewrite(folder, yaml('limits: {queue: 6}, greeting: hi', 'log: {level: warn}\n'));
    await application.reloadConfig();
    expect(heard).toEqual(
      [
        ['queue', 6],
        ['greeting', 'hi'],
        ['log.level', 'plugins[0][1].limits.queue', 'plugins[0][1].greeting'].sort(),
      ].map((each) => (each.length === 3 ? expect.arrayContaining(each) : each)),
    );
    expect(context().config.get('.limits.queue')).toBe(6);
    expect(context().config.get('log.level')).toBe('warn');
    expect(application.log.level).toBe('warn');
    expect(events.find(({ type }) => type === 'config.changed')).toMatchObject({ restart: [] });
  });

  it('gives back the default when a value goes away, and a parsed one always', async () => {
    const { application, folder, heard } = await running(yaml('limits: {queue: 4}'));
    rewrite(folder, 'plugins: [limiter]\n');
    await application.reloadConfig();
    expect(heard[0]).toEqual(['queue', 8]);
    rewrite(folder, yaml('limits: {queue: 2, rate: 1}'));
    await application.reloadConfig();
    expect(heard[2]).toEqual(['queue', 2]);
  });

  it('says that other changes need a restart, once, and keeps the running value', async () => {
    const { application, folder, heard, log, events, context } = await running(yaml('limits: {queue: 4}'));
    rewrite(folder, yaml('limits: {queue: 5}, port: 2', 'runDir: elsewhere\n'));
    await application.reloadConfig();
    await application.reloadConfig();
    const warnings = log.filter((line) => line.includes('after a restart'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('takes effect after a restart: plugins[0][1].port, runDir');
    expect(heard[0]).toEqual(['queue', 5]);
    expect(context().config.get('.port')).toBe(1);
    expect(application.config.root.runDir).toBe('.largeforge');
    expect(events.filter(({ type }) => type === 'config.changed')).toHaveLength(1);
  });

  it('tells a changed list of plugins as one that needs a restart', async () => {
    const { application, folder, heard, log } = await running(yaml('limits: {queue: 4}'));
    rewrite(folder, "plugins: [['other', {unlike: the others}], [limiter, {limits: {queue: 5}}]]\n");
    await application.reloadConfig();
    rewrite(folder, 'plugins: [["other", {unlike: the others}]]\n');
    await application.reloadConfig();
    expect(heard).toEqual([]);
    expect(log.join()).toContain('takes effect after a restart: plugins');
    expect(log.join()).not.toContain('not reloaded');
  });

  it.each([
    ['plugins: [', 'bad YAML'],
    [yaml('limits: {queue: -1}'), 'plugins[0] (limiter).limits.queue: expected more than 0, found the number -1'],
    [yaml('limit: {}'), 'plugins[0] (limiter).limit: unknown key. Did you mean \\"limits\\"?'],
    ['log: {level: loud}\n', 'log.level: expected'],
    [yaml('greeting: "${env:UNSET}"'), 'the environment has no UNSET'],
  ])('stays as it is when the edit is wrong, and says why (%#)', async (text, reason) => {
    const { application, folder, heard, log, events, context } = await running(yaml('limits: {queue: 4}'));
    rewrite(folder, text);
    await application.reloadConfig();
    expect(log.join()).toContain(`not reloaded, the running one stays: largeforge.config.yaml:`);
    expect(log.join()).toContain(reason);
    expect(events.find(({ type }) => type === 'config.rejected')).toMatchObject({
      error: { code: expect.stringMatching(/^LF_CONFIG/), remedy: expect.any(String) },
    });
    expect(heard).toEqual([]);
    expect(context().config.get('.limits.queue')).toBe(4);
    rewrite(folder, yaml('limits: {queue: 5}'));
    await application.reloadConfig();
    expect(heard[0]).toEqual(['queue', 5]);
  });

  it('goes on with other listeners when one fails', async () => {
    const { application, folder, heard, log } = await running(yaml('limits: {queue: 4}'));
    rewrite(folder, yaml('limits: {queue: 5}, greeting: boom', 'log: {format: json}\n'));
    await application.reloadConfig();
    expect(log.join()).toContain('plugins[0][1].greeting: the new value could not be applied: no such greeting');
    expect(heard).toContainEqual(['queue', 5]);
    expect(heard).toContainEqual(['format', 'json']);
  });

  it('keeps overrides of flags and the environment above the file', async () => {
    const { application, folder, heard } = await running(yaml(''), { set: ['plugins.limiter.limits.queue=3'] });
    rewrite(folder, yaml('limits: {queue: 5}, greeting: hi'));
    await application.reloadConfig();
    expect(heard[0]).toEqual(['greeting', 'hi']);
    expect(application.config.raw).toMatchObject({ plugins: [['limiter', { limits: { queue: 3 } }]] });
  });

  it('reaches the options of a running step, with its references resolved', async () => {
    const toy = makeToy();
    const heard: unknown[] = [];
    const original = toy.plugin.setup;
    const plugin = {
      ...toy.plugin,
      setup(context: PluginContext, options: never) {
        original(context, options);
        context.registries.server.add('listen', {
          load: () => ({
            options: z.strictObject({ limit: reloadable(z.number()), model: z.string(), port: z.number().default(1) }),
            async run(step: { reloadable(path: string, fn: (v: unknown) => void): void; signal: AbortSignal }) {
              step.reloadable('limit', (value) => heard.push(value));
              await new Promise((resolve) => step.signal.addEventListener('abort', resolve));
              return {};
            },
          }),
        });
      },
    };
    const config = (limit: string, port = 1) => `plugins: [toy]
pipeline:
  - {name: t, stage: train, use: copy, with: {text: x}}
  - {name: s, stage: serve, use: listen, with: {limit: ${limit}, model: '\${steps.t.file}', port: ${port}}}
`;
    const controller = new AbortController();
    const { application, folder, log } = await bootWith(config('1'), {
      known: [plugin as never],
      signal: controller.signal,
    });
    const run = application.runPipeline();
    await vi.waitFor(() => expect(application.kernel.signal.aborted || toy.ran.length).toBe(1));
    await sleep(20);
    rewrite(folder, config('2', 7));
    await application.reloadConfig();
    rewrite(folder, config('many'));
    await application.reloadConfig();
    controller.abort();
    await run;
    expect(heard).toEqual([2]);
    expect(log.join()).toContain('takes effect after a restart: pipeline[1].with.port');
    expect(log.join()).toContain('pipeline[1] (listen).with.limit: expected a number');
  });
});

describe('a config that is watched', () => {
  /** Waits for the change to be heard, as a running program would. */
  const until = (check: () => void) => vi.waitFor(check, { timeout: 4000, interval: 20 });

  it('is reloaded when its file is written, replaced or a linked folder is switched', async () => {
    const { application, folder, heard } = await running(yaml('limits: {queue: 1}'));
    application.watchConfig();
    rewrite(folder, yaml('limits: {queue: 2}'));
    await until(() => expect(heard).toContainEqual(['queue', 2]));
    writeFileSync(join(folder, 'new'), yaml('limits: {queue: 3}'));
    renameSync(join(folder, 'new'), join(folder, 'largeforge.config.yaml'));
    await until(() => expect(heard).toContainEqual(['queue', 3]));
    await application.close();
    rewrite(folder, yaml('limits: {queue: 4}'));
    await sleep(400);
    expect(heard).not.toContainEqual(['queue', 4]);
  });

  it('settles before it is read: strokes of an editor are one change', async () => {
    const strokes = async () => {
      const project = await running(yaml('limits: {queue: 1}'));
      const start = performance.now();
      project.application.watchConfig();
      for (const text of ['plugins: [[', yaml('limits: {queue: 5'), yaml('limits: {queue: 6}')]) {
        rewrite(project.folder, text);
        await sleep(5);
      }
      return { ...project, milliseconds: performance.now() - start };
    };
    // A busy machine may be slower than an editor: only strokes within the settling time tell something.
    let tried = await strokes();
    while (tried.milliseconds > 100) tried = await strokes();
    const { heard, events } = tried;
    await until(() => expect(heard).toContainEqual(['queue', 6]));
    expect(events.filter(({ type }) => type === 'config.rejected')).toEqual([]);
  });

  it('follows every file that takes part, also one that is extended only now', async () => {
    const { application, folder, heard } = await running({
      'largeforge.config.yaml': 'extends: base.yaml\n',
      'base.yaml': yaml('limits: {queue: 1}, greeting: "${file:greeting.txt}"'),
      'greeting.txt': 'a',
      'sub/more.yaml': yaml('limits: {queue: 7}'),
    });
    application.watchConfig();
    write(folder, { 'base.yaml': yaml('limits: {queue: 2}, greeting: "${file:greeting.txt}"') });
    await until(() => expect(heard).toContainEqual(['queue', 2]));
    write(folder, { 'greeting.txt': 'b' });
    await until(() => expect(heard).toContainEqual(['greeting', 'b']));
    write(folder, { 'largeforge.config.yaml': 'extends: sub/more.yaml\n' });
    await until(() => expect(heard).toContainEqual(['queue', 7]));
    write(folder, { 'sub/more.yaml': yaml('limits: {queue: 8}') });
    await until(() => expect(heard).toContainEqual(['queue', 8]));
  });

  it('survives its file going away and coming back, and a folder behind a link being switched', async () => {
    const folder = folderWith({ 'one/c.yaml': yaml('limits: {queue: 1}'), 'two/c.yaml': yaml('limits: {queue: 2}') });
    symlinkSync('one', join(folder, 'current'));
    const mine = limiter();
    const { application, events } = await bootWith('', { folder, file: 'current/c.yaml', known: [mine.plugin] });
    application.watchConfig();
    rmSync(join(folder, 'one/c.yaml'));
    await until(() => expect(events).toContainEqual(expect.objectContaining({ type: 'config.rejected' })));
    write(folder, { 'one/c.yaml': yaml('limits: {queue: 3}') });
    await until(() => expect(mine.heard).toContainEqual(['queue', 3]));
  });

  it('does not watch when there is nothing to watch', async () => {
    const { application } = await bootWith({}, { builtIn: {} });
    application.watchConfig();
    await application.reloadConfig();
    expect(application.config.files).toEqual([]);
  });
});
