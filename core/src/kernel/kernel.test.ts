import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { boot, plugin, settled } from './kernel.fixture.js';
import { checkPluginShape } from './plugin.js';

describe('booting', () => {
  it('sets plugins up in the order of the config, but those that others need first', async () => {
    const order: string[] = [];
    const note = (name: string, more = {}) => plugin(name, () => void order.push(name), more);
    const kernel = await boot([
      note('a', { requires: { c: '^1.0.0' } }),
      note('b', { optional: { d: '*', absent: '^9' } }),
      note('c'),
      note('d'),
    ]);
    expect(order).toEqual(['c', 'a', 'd', 'b']);
    expect(kernel.plugins.map(({ plugin: { name } }) => name)).toEqual(order);
    expect(kernel.bootTimes.map(({ plugin: name }) => name)).toEqual(order);
    expect(kernel.bootTimes.every(({ milliseconds }) => milliseconds >= 0)).toBe(true);
  });

  it.each([
    [
      [plugin('a', undefined, { requires: { bread: '^1.0.0' } }), plugin('broad')],
      'LF_PLUGIN_MISSING',
      'config.yaml:2:5: plugins[0]: plugin "a" needs "bread" ^1.0.0, and the config does not list it. Did you mean "broad"?',
    ],
    [
      [plugin('a', undefined, { requires: { b: '^2.0.0' } }), plugin('b')],
      'LF_PLUGIN_MISSING',
      'config.yaml:2:5: plugins[0]: plugin "a" needs "b" ^2.0.0, and 1.0.0 is loaded',
    ],
    [
      [plugin('a', undefined, { optional: { b: '>=3' } }), plugin('b')],
      'LF_PLUGIN_MISSING',
      'config.yaml:2:5: plugins[0]: plugin "a" needs "b" >=3, and 1.0.0 is loaded',
    ],
    [
      [plugin('a'), plugin('a')],
      'LF_PLUGIN_DUPLICATE',
      'config.yaml:3:5: plugins[1]: plugin "a" is listed already (config.yaml:2:5: plugins[0])',
    ],
    [
      [plugin('a', undefined, { requires: { b: '*' } }), plugin('b', undefined, { requires: { a: '*' } })],
      'LF_PLUGIN_CYCLE',
      'these plugins need each other in a circle: a -> b -> a',
    ],
  ])('refuses plugins that do not fit together (%#)', async (plugins, code, message) => {
    await expect(boot(plugins)).rejects.toMatchObject({ code, message, exitCode: 2 });
  });

  it('names the plugin whose setup fails, keeps the cause, and disposes those before it', async () => {
    const disposed: string[] = [];
    const cause = new TypeError('undefined is not a function');
    const booted = boot([
      plugin('a', (context) => context.onDispose(() => void disposed.push('a'))),
      plugin('b', () => {
        throw cause;
      }),
    ]);
    await expect(booted).rejects.toMatchObject({
      code: 'LF_HOOK_FAILED',
      message: 'config.yaml:3:5: plugins[1]: [plugin b] setup: undefined is not a function',
      cause,
    });
    expect(disposed).toEqual(['a']);
  });

  it('names the plugin whose setup does not end', async () => {
    const booted = boot([plugin('slow', () => new Promise<void>(() => {}))], { setupSeconds: 0.05 });
    await expect(booted).rejects.toMatchObject({
      code: 'LF_PLUGIN_TIMEOUT',
      message: 'config.yaml:2:5: plugins[0]: [plugin slow] setup: not finished after 0.05 s',
    });
  });

  it('refuses what is no plugin, and says what is missing', () => {
    const good = plugin('p');
    const shape = (value: unknown) => {
      try {
        checkPluginShape(value, 'c.yaml:3:5: plugins[1]');
      } catch (error) {
        return (error as Error).message;
      }
      return undefined;
    };
    expect(shape(good)).toBeUndefined();
    const at = 'c.yaml:3:5: plugins[1]: ';
    expect(shape(undefined)).toBe(`${at}the module has no default export made by definePlugin()`);
    expect(shape({ ...good, name: '' })).toBe(`${at}the plugin has no name`);
    expect(shape({ ...good, version: 'new' })).toBe(`${at}plugin "p" has version "new", which is not like 1.2.3`);
    expect(shape({ ...good, apiVersion: 2 })).toBe(`${at}plugin "p" has apiVersion 2; this kernel speaks 1`);
    expect(shape({ ...good, options: {} })).toContain('has no schema of its options');
    expect(shape({ ...good, setup: undefined })).toBe(`${at}plugin "p" has no setup function`);
    expect(shape({ ...good, requires: { q: 'latest' } })).toBe(
      `${at}plugin "p" needs "q" "latest", which is no version range`,
    );
  });

  it('gives each plugin its parsed options', async () => {
    let got: unknown;
    const options = z.strictObject({ grams: z.number().default(500) });
    const mine = plugin(
      'p',
      (_, given) => {
        got = given;
      },
      { options },
    );
    await boot([], { plugins: [{ plugin: mine, options: options.parse({}), where: '' }] });
    expect(got).toEqual({ grams: 500 });
  });
});

describe('shutting down', () => {
  it('runs every disposer, the last registered first, and reports all that fail', async () => {
    const order: string[] = [];
    const kernel = await boot([
      plugin('a', (context) => {
        context.onDispose(() => void order.push('a1'));
        context.onDispose(async () => {
          order.push('a2');
          throw new Error('stuck');
        });
      }),
      plugin('b', (context) =>
        context.onDispose(() => {
          order.push('b');
          throw new Error('jammed');
        }),
      ),
    ]);
    await expect(kernel.dispose()).rejects.toMatchObject({
      code: 'LF_DISPOSE_FAILED',
      message: 'shutting down: [plugin b] dispose: jammed; [plugin a] dispose: stuck',
    });
    expect(order).toEqual(['b', 'a2', 'a1']);
  });

  it('goes on without a disposer that does not end, and runs each once', async () => {
    const order: string[] = [];
    const kernel = await boot(
      [
        plugin('a', (context) => {
          context.onDispose(() => void order.push('first'));
          context.onDispose(() => new Promise<void>(() => {}));
        }),
      ],
      { disposeSeconds: 0.05 },
    );
    const first = kernel.dispose();
    await expect(kernel.dispose()).rejects.toThrow('[plugin a] dispose: not finished after 0.05 s');
    await expect(first).rejects.toThrow();
    expect(order).toEqual(['first']);
  });

  it("aborts the plugins' signal: by the caller's signal, by abort(), and at the latest by dispose()", async () => {
    const signals: AbortSignal[] = [];
    const keep = plugin('p', (context) => void signals.push(context.signal));
    const outer = new AbortController();
    await boot([keep], { signal: outer.signal });
    const second = await boot([keep]);
    const third = await boot([keep]);
    outer.abort('stop');
    second.abort('enough');
    await third.dispose();
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true]);
    expect(signals.slice(0, 2).map(({ reason }) => reason as unknown)).toEqual(['stop', 'enough']);
  });
});

describe('registries', () => {
  const oven = (degrees: number, more = {}) => ({ load: () => ({ degrees }), ...more });

  it('load lazily, once, and again after a failure', async () => {
    let loads = 0;
    const kernel = await boot([
      plugin('p', (context) =>
        context.registries.oven.add('stone', {
          load: async () => {
            if (++loads === 1) throw new Error('no wood');
            return { degrees: 400 };
          },
        }),
      ),
    ]);
    const registry = kernel.registry('oven');
    expect(loads).toBe(0);
    await expect(registry.get('stone')).rejects.toMatchObject({
      code: 'LF_REGISTRY_LOAD',
      message: '[plugin p] oven "stone" could not be loaded: no wood',
    });
    expect(await Promise.all([registry.get('stone'), registry.get('stone')])).toEqual([
      { degrees: 400 },
      { degrees: 400 },
    ]);
    expect(loads).toBe(2);
  });

  it('refuse an unknown id with the place, a near miss and what is known', async () => {
    const kernel = await boot([
      plugin('p', ({ registries }) => {
        registries.oven.add('stone', oven(400));
        registries.oven.add('gas', oven(200));
      }),
    ]);
    await expect(kernel.registry('oven').get('stoen', 'c.yaml:7:3: oven')).rejects.toMatchObject({
      code: 'LF_REGISTRY_UNKNOWN',
      message: 'c.yaml:7:3: oven: there is no oven "stoen". Did you mean "stone"?',
      remedy: 'Known: stone, gas. The plugin that provides another must be listed in plugins.',
      exitCode: 2,
    });
  });

  it('never replace a named choice that cannot be used; auto takes the first that can, by priority, with every reason', async () => {
    const kernel = await boot([
      plugin('p', ({ registries }) => {
        registries.oven.add('gas', oven(200));
        registries.oven.add('stone', oven(400, { probe: () => ({ ok: false, reason: 'no wood' }), priority: 2 }));
        registries.oven.add(
          'solar',
          oven(90, {
            probe: () => {
              throw new Error('no sun');
            },
            priority: 1,
          }),
        );
      }),
    ]);
    const registry = kernel.registry('oven');
    await expect(registry.get('stone')).rejects.toMatchObject({
      code: 'LF_REGISTRY_UNAVAILABLE',
      message: 'oven "stone" cannot be used here: no wood',
    });
    expect(await registry.auto()).toEqual({
      id: 'gas',
      value: { degrees: 200 },
      rejected: [
        { id: 'stone', reason: 'no wood' },
        { id: 'solar', reason: 'no sun' },
      ],
    });
  });

  it('say all reasons when auto finds nothing', async () => {
    const kernel = await boot([
      plugin('p', ({ registries }) => {
        registries.oven.add('stone', oven(400, { probe: () => ({ ok: false, reason: 'no wood' }) }));
        registries.oven.add('gas', oven(200, { probe: async () => ({ ok: false, reason: 'no gas' }) }));
      }),
    ]);
    await expect(kernel.registry('oven').auto()).rejects.toMatchObject({
      code: 'LF_REGISTRY_NONE',
      message: 'no oven can be used here: stone: no wood; gas: no gas',
    });
    await expect((await boot([])).registry('oven').auto()).rejects.toThrow('none is registered');
  });

  it('refuse duplicates, ids that nobody can type, and entries after set-up', async () => {
    const add = (name: string, id: string) => plugin(name, ({ registries }) => registries.oven.add(id, oven(1)));
    await expect(boot([add('a', 'gas'), add('b', 'gas')])).rejects.toMatchObject({
      code: 'LF_REGISTRY_DUPLICATE',
      message: 'config.yaml:3:5: plugins[1]: [plugin b] oven "gas" is registered already by a',
    });
    await expect(boot([add('a', 'Gas Oven')])).rejects.toMatchObject({ code: 'LF_REGISTRY_ID' });
    let late = () => {};
    await boot([
      plugin('p', ({ registries }) => {
        late = () => registries.oven.add('late', oven(1));
      }),
    ]);
    expect(() => late()).toThrow('[plugin p] adds oven "late" after set-up');
  });
});

describe('services', () => {
  it('are made once, when they are first asked for', async () => {
    let made = 0;
    const kernel = await boot([
      plugin('p', ({ services }) =>
        services.provide('yeast', async () => {
          made++;
          await sleep(5);
          return { made };
        }),
      ),
    ]);
    expect(made).toBe(0);
    const [a, b] = await Promise.all([kernel.services.get('yeast'), kernel.services.get('yeast')]);
    expect(a).toBe(b);
    expect(made).toBe(1);
  });

  it('are refused when unknown (with a near miss) or provided twice', async () => {
    const give = (name: string) => plugin(name, ({ services }) => services.provide('yeast', 1));
    const kernel = await boot([give('p')]);
    await expect(kernel.services.get('yaest')).rejects.toMatchObject({
      code: 'LF_SERVICE_UNKNOWN',
      message: 'no plugin provides the service "yaest". Did you mean "yeast"?',
    });
    await expect(boot([give('p'), give('q')])).rejects.toThrow(
      '[plugin q] the service "yeast" is provided already by p',
    );
  });

  it('that wait for each other are refused, and do not hang', async () => {
    const kernel = await boot([
      plugin('p', ({ services }) => {
        services.provide('hen', async () => services.get('egg'));
        services.provide('egg', async () => services.get('hen'));
      }),
    ]);
    const error = await settled(kernel.services.get('hen'));
    expect(error).toMatchObject({
      code: 'LF_SERVICE_CYCLE',
      message: 'these services wait for each other: hen -> egg -> hen',
    });
  });

  it('that fail name their plugin and can be asked for again', async () => {
    let times = 0;
    const kernel = await boot([
      plugin('p', ({ services }) =>
        services.provide('yeast', () => {
          if (++times === 1) throw new Error('dead');
          return 'alive';
        }),
      ),
    ]);
    await expect(kernel.services.get('yeast')).rejects.toThrow('[plugin p] service "yeast": dead');
    expect(await kernel.services.get('yeast')).toBe('alive');
  });
});
