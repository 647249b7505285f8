import type { z } from 'zod';
import { configErrors } from './errors.js';
import type { ConfigPath } from './path.js';
import { problemsOf } from './problems.js';
import { isMarked } from './schema-paths.js';
import { isSecretPath, type Secrets } from './secrets.js';
import { type ConfigNode, eachValue, nodeAt, toValue, type ValueNode } from './tree.js';

export interface ParseOptions {
  /** How the part is called in errors: `plugins[2] (@largeforge/server-openai)`; empty for the whole config. */
  readonly label: string;
  readonly cwd: string;
  readonly secrets: Secrets;
  /** False for options that come from no config; then errors carry no place. */
  readonly located?: boolean;
  /** Paths whose values are not known yet: what is wrong with them does not count, but an unknown key does. */
  readonly ignore?: (path: ConfigPath) => boolean;
}

/**
 * Checks a part of the config by its schema. Throws LF_CONFIG_INVALID with every problem, its place, what was expected
 * and found. Secrets of the schema are noted first: no error shows them. Text from the environment or a flag is read as
 * what the schema wants.
 */
export function parseNode<Output>(
  schema: z.ZodType<Output>,
  node: ConfigNode,
  options: ParseOptions,
): Output | undefined {
  const isSecret = (path: ConfigPath) => isSecretPath(path) || isMarked(schema, path, 'secret');
  markSecrets(schema, node, options.secrets);
  let result = schema.safeParse(toValue(node));
  const swapped = new Set<ValueNode>();
  while (!result.success && swapAlternatives(node, result.error.issues, swapped))
    result = schema.safeParse(toValue(node));
  if (result.success) return result.data;
  const issues = result.error.issues.filter(
    (issue) => issue.code === 'unrecognized_keys' || !options.ignore?.(issue.path as ConfigPath),
  );
  if (issues.length === 0) return undefined;
  const { label, cwd, located = true } = options;
  throw configErrors.LF_CONFIG_INVALID({
    problems: problemsOf(issues, { node, schema, label, cwd, located, isSecret }),
  });
}

/** Notes the values that a schema marks as secret. */
export function markSecrets(schema: z.ZodType, node: ConfigNode, secrets: Secrets): void {
  eachValue(node, (value, path) => {
    if (isMarked(schema, path, 'secret')) markSecret(value, secrets);
  });
}

export function markSecret(node: ValueNode, secrets: Secrets): void {
  node.secret = true;
  secrets.add(node.value);
  secrets.add(node.alternative);
}

/** Takes the other reading of every value that an issue is about, once. False when there is none left. */
function swapAlternatives(node: ConfigNode, issues: readonly z.core.$ZodIssue[], swapped: Set<ValueNode>): boolean {
  let any = false;
  for (const path of issuePaths(issues)) {
    const value = nodeAt(node, path);
    if (value?.kind !== 'value' || value.alternative === undefined || swapped.has(value)) continue;
    swapped.add(value);
    [value.value, value.alternative] = [value.alternative, value.value];
    any = true;
  }
  return any;
}

function issuePaths(issues: readonly z.core.$ZodIssue[]): ConfigPath[] {
  return issues.flatMap((issue) => {
    const path = issue.path as ConfigPath;
    if (issue.code !== 'invalid_union') return [path];
    return [path, ...issue.errors.flatMap((branch) => issuePaths(branch).map((inner) => [...path, ...inner]))];
  });
}
