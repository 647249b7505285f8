import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type BakeryContext, boot, plugin, settled } from './kernel.fixture.js';

type Tap = (context: BakeryContext) => void;

/** Plugins X, Y, Z ... that do these things in their setup. */
const bootTaps = (...taps: Tap[]) => boot(taps.map((tap, i) => plugin(['X', 'Y', 'Z'][i] ?? `P${i}`, tap)));

/** What a plugin in plain JavaScript may do, whatever the types say. */
const wrong = (value: unknown) => value as never;

/** Runs taps on a raw tapable hook in a process of its own: what they lose would end this one. */
function rawTapable(taps: string): string {
  const script = `
    import tapable from 'tapable';
    process.on('unhandledRejection', () => {});
    const hook = new tapable.AsyncSeriesHook(['value']);
    ${taps}
    const late = new Promise((resolve) => setTimeout(resolve, 200, 'hangs'));
    console.log(await Promise.race([hook.promise(1).then(() => 'resolves', () => 'rejects'), late]));`;
  const folder = fileURLToPath(new URL('.', import.meta.url));
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: folder,
    encoding: 'utf8',
  }).trim();
}

describe('a raw tapable hook, and why plugins never get one', () => {
  it.each([
    ['throws at once', "hook.tapPromise('B', () => { throw new Error('sour'); });", 'hangs'],
    ['returns no promise', "hook.tapPromise('B', () => {});", 'hangs'],
    ['throws at once with a callback', "hook.tapAsync('B', () => { throw new Error('sour'); });", 'hangs'],
    ['is async though it should not be', "hook.tap('B', async () => { throw new Error('sour'); });", 'resolves'],
  ])('when a tap after an async one %s', (_, tap, outcome) => {
    expect(rawTapable(`hook.tapPromise('A', async () => {}); ${tap}`)).toBe(outcome);
  });
});

describe('a hook of the kernel', () => {
  it.each<[string, unknown, string]>([
    [
      'throws at once',
      () => {
        throw new Error('sour');
      },
      '[plugin Y] dough.rise: sour',
    ],
    [
      'rejects',
      async () => {
        throw new Error('sour');
      },
      '[plugin Y] dough.rise: sour',
    ],
    ['rejects with undefined', () => Promise.reject(), '[plugin Y] dough.rise: undefined'],
    [
      'throws a text',
      () => {
        throw 'sour';
      },
      '[plugin Y] dough.rise: sour',
    ],
  ])('names plugin and hook when a tap %s, and never hangs', async (_, fn, message) => {
    const kernel = await bootTaps(
      (context) => context.hooks.dough.rise.tap(async () => {}),
      (context) => context.hooks.dough.rise.tap(wrong(fn)),
    );
    const error = await settled(kernel.hooks.dough.rise.fire('now'));
    expect(error).toMatchObject({ message, code: 'LF_HOOK_FAILED' });
    expect(kernel.pending()).toEqual([]);
  });

  it('goes on after a tap that returns no promise', async () => {
    const seen: string[] = [];
    const kernel = await bootTaps(
      (context) => context.hooks.dough.rise.tap(async () => void seen.push('X')),
      (context) => context.hooks.dough.rise.tap(() => void seen.push('Y')),
      (context) => context.hooks.dough.rise.tap(async () => void seen.push('Z')),
    );
    expect(await settled(kernel.hooks.dough.rise.fire('now'))).toBeUndefined();
    expect(seen).toEqual(['X', 'Y', 'Z']);
  });

  it('keeps the cause of a failure, and the code and remedy of an error that has them', async () => {
    const cause = new Error('sour');
    const first = await bootTaps((context) =>
      context.hooks.dough.rise.tap(() => {
        throw cause;
      }),
    );
    await expect(first.hooks.dough.rise.fire('now')).rejects.toMatchObject({ cause });
    const own = Object.assign(new Error('no flour'), { code: 'LF_FLOUR_MISSING', remedy: 'Buy some.', exitCode: 7 });
    const second = await bootTaps((context) =>
      context.hooks.dough.rise.tap(() => {
        throw own;
      }),
    );
    await expect(second.hooks.dough.rise.fire('now')).rejects.toMatchObject({
      message: '[plugin X] dough.rise: no flour',
      code: 'LF_FLOUR_MISSING',
      remedy: 'Buy some.',
      exitCode: 7,
      cause: own,
    });
  });

  it('passes a value through a waterfall, awaiting async taps; nothing returned leaves it as it is', async () => {
    const kernel = await bootTaps(
      (context) => context.hooks.dough.plan.tap(async ({ grams }) => ({ grams: grams + 1 })),
      (context) => context.hooks.dough.plan.tap(() => undefined),
      (context) => context.hooks.dough.plan.tap(({ grams }) => ({ grams: grams * 10 })),
    );
    expect(await kernel.hooks.dough.plan.fire({ grams: 1 })).toEqual({ grams: 20 });
  });

  it('ends a bail hook with the first answer and says whose it is; null is no answer', async () => {
    const asked: string[] = [];
    const kernel = await bootTaps(
      (context) =>
        context.hooks.dough.taste.tap(
          wrong(() => {
            asked.push('X');
            return null;
          }),
        ),
      (context) =>
        context.hooks.dough.taste.tap(async () => {
          asked.push('Y');
          return 'too salty';
        }),
      (context) =>
        context.hooks.dough.taste.tap(() => {
          asked.push('Z');
          return 'fine';
        }),
    );
    expect(await kernel.hooks.dough.taste.fire('a bite')).toEqual({ plugin: 'Y', answer: 'too salty' });
    expect(asked).toEqual(['X', 'Y']);
  });

  it('runs every observer and reports all failures together', async () => {
    const seen: string[] = [];
    const kernel = await bootTaps(
      (context) =>
        context.hooks.dough.smell.tap(() => {
          throw new Error('a cold');
        }),
      (context) => context.hooks.dough.smell.tap(async (value) => void seen.push(value)),
      (context) =>
        context.hooks.dough.smell.tap(async () => {
          throw new Error('no nose');
        }),
    );
    const error = await settled(kernel.hooks.dough.smell.fire('bread'));
    expect(seen).toEqual(['bread']);
    expect(error).toMatchObject({
      code: 'LF_HOOKS_FAILED',
      message: 'dough.smell: 2 observers failed: [plugin X] dough.smell: a cold; [plugin Z] dough.smell: no nose',
    });
    expect((error as { cause: AggregateError }).cause.errors).toHaveLength(2);
  });

  it('calls sync observers at once, all of them, and refuses one that is async without losing its rejection', async () => {
    const seen: number[] = [];
    const unhandled: unknown[] = [];
    const listen = (error: unknown) => unhandled.push(error);
    process.on('unhandledRejection', listen);
    const kernel = await bootTaps(
      (context) =>
        context.hooks.dough.tick.tap(
          wrong(async () => {
            throw new Error('lost');
          }),
        ),
      (context) => context.hooks.dough.tick.tap((value) => void seen.push(value)),
    );
    expect(() => kernel.hooks.dough.tick.fire(7)).toThrow(
      '[plugin X] dough.tick: this hook is synchronous, and the tap returned a promise',
    );
    expect(seen).toEqual([7]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off('unhandledRejection', listen);
    expect(unhandled).toEqual([]);
  });

  it('runs a reversed hook backwards', async () => {
    const seen: string[] = [];
    const kernel = await bootTaps(
      (context) => context.hooks.dough.undo.tap(() => void seen.push('X')),
      (context) => context.hooks.dough.undo.tap(() => void seen.push('Y')),
    );
    await kernel.hooks.dough.undo.fire('all');
    expect(seen).toEqual(['Y', 'X']);
  });

  it('gives plugins a side that can tap and cannot fire, and refuses taps after set-up', async () => {
    let context: BakeryContext | undefined;
    await bootTaps((given) => {
      context = given;
    });
    expect(Object.keys(context!.hooks.dough.rise)).toEqual(['tap']);
    expect(() => {
      (context!.hooks as { dough: unknown }).dough = {};
    }).toThrow(TypeError);
    expect(() => context!.hooks.dough.rise.tap(() => {})).toThrow('[plugin X] taps dough.rise after set-up');
  });

  it.each<[string, Tap]>([
    ['no function', (context) => context.hooks.dough.rise.tap(wrong(undefined))],
    ['is not {before, after, order', (context) => context.hooks.dough.rise.tap(wrong({ befor: 'Y' }), () => {})],
    ['is not {before, after, order', (context) => context.hooks.dough.rise.tap(wrong({ order: 5 }), () => {})],
  ])('refuses a tap that says %s', async (message, tap) => {
    await expect(bootTaps(tap)).rejects.toMatchObject({
      code: 'LF_HOOK_TAP',
      message: expect.stringContaining(message),
    });
  });

  it('knows whether anything taps it, and what it waits for', async () => {
    let finish = () => {};
    const wait = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const kernel = await bootTaps((context) => context.hooks.dough.rise.tap(() => wait));
    expect(kernel.hooks.dough.rise.used).toBe(true);
    expect(kernel.hooks.dough.taste.used).toBe(false);
    const fired = kernel.hooks.dough.rise.fire('slow');
    expect(kernel.pending()).toEqual(['[plugin X] dough.rise']);
    finish();
    await fired;
    expect(kernel.pending()).toEqual([]);
  });
});
