import { z } from 'zod';
import { bail, observers, reversed, series, sync, waterfall } from './hook-definition.js';
import { Kernel, type KernelOptions } from './kernel.js';
import type { AnyPlugin, BaseContext } from './plugin.js';

/** A lifecycle that has nothing to do with language models: the kernel must not know the difference. */
export const bakery = {
  dough: {
    plan: waterfall<{ grams: number }>('what goes in'),
    rise: series<string>('it rises'),
    taste: bail<string, string>('an answer stops it'),
    smell: observers<string>('everybody smells it'),
    tick: sync<number>('the clock ticks'),
    undo: reversed<string>('throw it away'),
  },
} as const;

export interface BakeryRegistries {
  oven: { degrees: number };
}

export type BakeryContext = BaseContext<typeof bakery, BakeryRegistries>;
export type BakeryPlugin = AnyPlugin<BakeryContext>;
export type Bakery = Kernel<typeof bakery, BakeryRegistries, BakeryContext>;

export function plugin(
  name: string,
  setup: BakeryPlugin['setup'] = () => {},
  more: Partial<BakeryPlugin> = {},
): BakeryPlugin {
  return { name, version: '1.0.0', apiVersion: 1, options: z.strictObject({}), setup, ...more };
}

type MoreOptions = Partial<KernelOptions<typeof bakery, BakeryRegistries, BakeryContext>>;

export function boot(plugins: readonly BakeryPlugin[], more: MoreOptions = {}): Promise<Bakery> {
  return Kernel.boot<typeof bakery, BakeryRegistries, BakeryContext>({
    hooks: bakery,
    registries: ['oven'],
    plugins: plugins.map((each, i) => ({ plugin: each, options: {}, where: `config.yaml:${i + 2}:5: plugins[${i}]` })),
    extend: (base) => base,
    ...more,
  });
}

/** Settles as the promise does, or with "hangs" after 300 ms. */
export function settled(promise: Promise<unknown>): Promise<unknown> {
  const late = new Promise((resolve) => setTimeout(resolve, 300, 'hangs'));
  return Promise.race([promise.catch((error: unknown) => error), late]);
}
