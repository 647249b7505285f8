import { modelErrors } from '../errors.js';

/**
 * Which layers an adapter goes to, as PEFT reads it: names of modules or ends of them ("q_proj", "mlp.down_proj"), a
 * regular expression that a whole module name must match, or "all-linear": every linear layer but the head.
 */
export type TargetModules = 'all-linear' | (string & {}) | readonly string[];

/** The layers that `target` means, in the model's order. Throws LF_ENGINE_LORA_TARGETS when a name matches none. */
export function targetLayers(linears: ReadonlyMap<string, unknown>, target: TargetModules): string[] {
  const names = [...linears.keys()];
  if (target === 'all-linear') return names;
  if (typeof target === 'string') {
    const pattern = wholePattern(target);
    const matching = names.filter((name) => pattern.test(name));
    if (matching.length === 0)
      throw modelErrors.LORA_TARGETS({ targets: `the pattern ${target}`, linears: lastParts(names) });
    return matching;
  }
  const unmatched = target.filter((part) => !names.some((name) => endsWith(name, part)));
  if (unmatched.length > 0 || target.length === 0) {
    const targets = unmatched.map((part) => `"${part}"`).join(', ') || 'an empty list';
    throw modelErrors.LORA_TARGETS({ targets, linears: lastParts(names) });
  }
  return names.filter((name) => target.some((part) => endsWith(name, part)));
}

/** The value that `patterns` gives for a module, as PEFT's rank_pattern and alpha_pattern: by a regular end of its name. */
export function byPattern(name: string, patterns: Readonly<Record<string, number>>, otherwise: number): number {
  for (const [pattern, value] of Object.entries(patterns)) {
    if (new RegExp(`^(.*\\.)?(${pattern})$`).test(name)) return value;
  }
  return otherwise;
}

function endsWith(name: string, part: string): boolean {
  return name === part || name.endsWith(`.${part}`);
}

function wholePattern(pattern: string): RegExp {
  try {
    return new RegExp(`^(?:${pattern})$`);
  } catch (cause) {
    throw modelErrors.LORA_OPTION({ option: 'targetModules', reason: (cause as Error).message }, { cause });
  }
}

/** Last parts of module names, once each. */
export function lastParts(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.slice(name.lastIndexOf('.') + 1)))];
}
