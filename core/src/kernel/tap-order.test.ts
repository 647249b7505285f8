import { describe, expect, it } from 'vitest';
import type { TapOptions } from './hook-definition.js';
import { boot, plugin } from './kernel.fixture.js';

/** Boots plugins that tap dough.rise with these options; resolves with the order in which they ran. */
async function order(taps: [name: string, options: TapOptions][], loaded: string[] = [], optional = {}) {
  const ran: string[] = [];
  const kernel = await boot([
    ...taps.map(([name, options], i) =>
      plugin(`${name}`, (context) => context.hooks.dough.rise.tap(options, () => void ran.push(name)), {
        optional: i === 0 ? optional : {},
      }),
    ),
    ...loaded.map((name) => plugin(name)),
  ]);
  await kernel.hooks.dough.rise.fire('x');
  return { ran, kernel };
}

describe('the order of taps', () => {
  it('is that of the plugins when nothing else is said', async () => {
    expect(
      (
        await order([
          ['a', {}],
          ['b', {}],
          ['c', {}],
        ])
      ).ran,
    ).toEqual(['a', 'b', 'c']);
  });

  it('obeys before and after, also through others', async () => {
    const { ran } = await order([
      ['a', { after: 'c' }],
      ['b', { before: ['a'] }],
      ['c', { after: ['b'] }],
      ['d', {}],
    ]);
    expect(ran).toEqual(['b', 'c', 'a', 'd']);
  });

  it('puts pre early and post late, and lets before and after win over them', async () => {
    expect(
      (
        await order([
          ['a', { order: 'post' }],
          ['b', {}],
          ['c', { order: 'pre' }],
        ])
      ).ran,
    ).toEqual(['c', 'b', 'a']);
    expect(
      (
        await order([
          ['a', {}],
          ['b', { order: 'pre', after: 'a' }],
        ])
      ).ran,
    ).toEqual(['a', 'b']);
  });

  it('ignores an order with a loaded plugin that does not tap the hook, and with an optional one that is absent', async () => {
    expect(
      (
        await order(
          [
            ['a', { after: 'd' }],
            ['b', {}],
          ],
          ['d'],
        )
      ).ran,
    ).toEqual(['a', 'b']);
    expect(
      (
        await order(
          [
            ['a', { after: 'e' }],
            ['b', {}],
          ],
          [],
          { e: '*' },
        )
      ).ran,
    ).toEqual(['a', 'b']);
  });

  it('refuses a name that no plugin has, with the near miss', async () => {
    await expect(
      order([
        ['alpha', { before: 'betta' }],
        ['beta', {}],
      ]),
    ).rejects.toMatchObject({
      code: 'LF_HOOK_ORDER',
      message: 'dough.rise: [plugin alpha] wants to run before "betta", which is not loaded. Did you mean "beta"?',
    });
  });

  it.each([
    [
      [
        ['a', { before: 'b' }],
        ['b', { before: 'a' }],
      ],
      /a -> b -> a|b -> a -> b/,
    ],
    [
      [
        ['a', { after: 'c' }],
        ['b', { after: 'a' }],
        ['c', { after: 'b' }],
      ],
      /a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c/,
    ],
    [[['a', { before: 'a' }]], /a -> a/],
  ] as [[string, TapOptions][], RegExp][])('refuses a circle and names it (%#)', async (taps, names) => {
    const error = await order(taps).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'LF_HOOK_ORDER' });
    expect((error as Error).message).toMatch(names);
  });

  it('can be explained', async () => {
    const { kernel } = await order([
      ['a', { after: 'b' }],
      ['b', {}],
      ['c', { order: 'post' }],
    ]);
    const hook = kernel.describeHooks().find(({ name }) => name === 'dough.rise');
    expect(hook).toEqual({
      name: 'dough.rise',
      kind: 'series',
      summary: 'it rises',
      taps: [
        { plugin: 'b', why: 'a asks to run after it' },
        { plugin: 'a', why: 'asks to run after b' },
        { plugin: 'c', why: 'order: post' },
      ],
    });
  });
});
