import { kernelErrors } from './kernel-errors.js';
import { didYouMean } from './nearest.js';

/** A tap, and why it stands where it does. */
export interface TapRecord {
  readonly plugin: string;
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly order: 'pre' | 'normal' | 'post';
  /** Position in which it was registered. */
  readonly index: number;
}

/** Names that before and after may use. */
export interface KnownPlugins {
  /** Loaded plugins, in the order in which they were set up. */
  readonly loaded: readonly string[];
  /** Plugins that one declares in `optional`: it may name them though they are not loaded. */
  optionalOf(plugin: string): readonly string[];
}

const rank = { pre: 0, normal: 1, post: 2 } as const;

/**
 * Sorts the taps of a hook topologically by before and after (Kahn 1962); among those that are free, by `order`, then as
 * registered. A circle, or a name that no loaded plugin has, is refused: a typing error would silently mean "anywhere".
 */
export function sortTaps<T extends TapRecord>(hook: string, taps: readonly T[], plugins: KnownPlugins): T[] {
  const waitsFor = new Map<T, Set<T>>(taps.map((tap) => [tap, new Set<T>()]));
  const named = (owner: T, relation: 'before' | 'after') =>
    owner[relation].flatMap((name) => {
      const found = taps.filter((tap) => tap.plugin === name);
      if (name === owner.plugin) throw circle(hook, [owner, owner]);
      if (found.length === 0 && !plugins.loaded.includes(name) && !plugins.optionalOf(owner.plugin).includes(name)) {
        throw kernelErrors.LF_HOOK_ORDER({
          hook,
          reason: `[plugin ${owner.plugin}] wants to run ${relation} "${name}", which is not loaded.${didYouMean(name, plugins.loaded)}`,
        });
      }
      return found;
    });
  for (const tap of taps) {
    for (const other of named(tap, 'after')) waitsFor.get(tap)!.add(other);
    for (const other of named(tap, 'before')) waitsFor.get(other)!.add(tap);
  }
  const sorted: T[] = [];
  const left = [...taps].sort((a, b) => rank[a.order] - rank[b.order] || a.index - b.index);
  while (left.length > 0) {
    const next = left.findIndex((tap) => !left.some((other) => waitsFor.get(tap)!.has(other)));
    if (next < 0) throw circle(hook, findCircle(left, waitsFor));
    sorted.push(...left.splice(next, 1));
  }
  return sorted;
}

function circle(hook: string, taps: readonly TapRecord[]): Error {
  const names = taps.map((tap) => tap.plugin).join(' -> ');
  return kernelErrors.LF_HOOK_ORDER({ hook, reason: `before and after go round in a circle: ${names}` });
}

/** Follows what each tap waits for until one comes up again. */
function findCircle<T extends TapRecord>(left: readonly T[], waitsFor: ReadonlyMap<T, ReadonlySet<T>>): T[] {
  const path: T[] = [];
  let tap = left[0]!;
  while (!path.includes(tap)) {
    path.push(tap);
    tap = [...waitsFor.get(tap)!].find((other) => left.includes(other))!;
  }
  return [...path.slice(path.indexOf(tap)), tap].reverse();
}

/** Why a tap stands where it does, in words. */
export function explainTap(tap: TapRecord, taps: readonly TapRecord[]): string {
  const reasons: string[] = [];
  if (tap.before.length > 0) reasons.push(`asks to run before ${tap.before.join(', ')}`);
  if (tap.after.length > 0) reasons.push(`asks to run after ${tap.after.join(', ')}`);
  for (const other of taps) {
    if (other.before.includes(tap.plugin)) reasons.push(`${other.plugin} asks to run before it`);
    if (other.after.includes(tap.plugin)) reasons.push(`${other.plugin} asks to run after it`);
  }
  if (tap.order !== 'normal') reasons.push(`order: ${tap.order}`);
  return reasons.length > 0 ? reasons.join('; ') : 'in the order of the plugins';
}
